"""tools/evaluate.py on the built-in set, as the quickstart runs it."""

import json

import cv2
import numpy as np
import pytest
import torch
from helpers.tools_in_process import run_tool

from cmac_mm.apis import inference, init_model
from cmac_mm.apis.evaluate.demo_scores import true_boxes
from cmac_mm.evaluation import load_results
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes, read_ground_truth
from cmac_mm.utils import load_config

CONFIG = "cmac_mm::demo/cmac_sounding-shapes.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small set, an untrained checkpoint, and a run."""
    folder = tmp_path_factory.mktemp("demo")
    shapes = folder / "data/sounding_shapes"
    make_sounding_shapes(shapes, num_train=32, num_test=16, seed=1, workers=2, num_bad=4)
    torch.manual_seed(3)
    state = init_model(CONFIG).state_dict()
    torch.save({"state_dict": state, "meta": {"epoch": 1}}, folder / "epoch_1.pth")
    evaluate(folder, "epoch_1.pth", "--work-dir", "out")
    return folder


def evaluate(folder, *args, **more):
    options = {
        "test_dataloader.num_workers": 0,
        "test_dataloader.batch_size": 8,
        "evaluation.max_train": 24,
        **more,
    }
    raw = [f"{key}={value}" for key, value in options.items()]
    run_tool("evaluate.py", CONFIG, *args, "--cfg-options", *raw, cwd=folder, COLUMNS="200")


def test_table_result_and_sheet(folder):
    out = folder / "out"
    assert {path.name for path in out.iterdir()} == {
        *("sounding-shapes.md", "sounding-shapes.json", "attention_sheet.png")
    }
    (result,) = load_results(out)
    assert (result["benchmark"], result["protocol"]) == ("sounding-shapes", "16 test videos")
    assert (result["checkpoint"], result["seed"]) == ("epoch_1.pth", 0)
    assert 18 <= result["num_gallery"] <= 24  # a replaced file may be drawn twice
    assert len(result["metrics"]) == 14
    for part in ("metrics", "chance", "untrained"):
        assert result[part].keys() == result["metrics"].keys()
        assert all(0 <= value <= 1 for value in result[part].values())
    assert result["chance"]["visual linear probe"] == 1 / 8
    text = (out / "sounding-shapes.md").read_text()
    for title, value in result["metrics"].items():
        row = next(line for line in text.splitlines() if line.startswith(f"| {title} "))
        cells = [cell.strip() for cell in row.split("|")]
        others = [result[part][title] for part in ("chance", "untrained")]
        assert cells[2:5] == [f"{100 * share:.1f}" for share in (*others, value)]
    picture = cv2.imread(str(out / "attention_sheet.png"))
    assert picture.shape[0] > picture.shape[1]


def test_a_second_run_prints_the_same(folder, capfd):
    evaluate(folder, "epoch_1.pth", "--work-dir", "again")
    results = [
        json.loads((folder / name / "sounding-shapes.json").read_text())
        for name in ("out", "again")
    ]
    assert [result.pop("date") for result in results]
    assert results[0] == results[1]
    text = (folder / "again/sounding-shapes.md").read_text()
    assert text == (folder / "out/sounding-shapes.md").read_text()
    assert text in capfd.readouterr().out


def test_report_reads_it(folder, capsys):
    run_tool("report.py", "out", "--out", "report", cwd=folder)
    (result,) = load_results(folder / "out")
    title = "audio retrieval R@5"
    shares = [result[part][title] for part in ("chance", "untrained", "metrics")]
    figures = " | ".join(f"{100 * share:.1f}" for share in shares)
    row = f"| sounding-shapes | 16 test videos | {title} | {figures} |"
    assert row in capsys.readouterr().out
    assert (folder / "report/report.png").is_file()


def test_mistakes_are_named(folder):
    with pytest.raises(ValueError, match="compares a trained network with itself untrained"):
        evaluate(folder, "none")
    with pytest.raises(ValueError, match=r"max_train is 8: expected 16"):
        evaluate(folder, "epoch_1.pth", **{"evaluation.max_train": 8})
    with pytest.raises(ValueError, match=r"--gpus means nothing to .*type demo"):
        evaluate(folder, "epoch_1.pth", "--gpus", 2)


def test_true_boxes_lie_on_what_moves(folder):
    """Through decoding, scaling and crop: the network's frames change inside the boxes."""
    config = load_config(CONFIG)
    model = init_model(config)
    inside, outside = [], []
    for path in sorted((folder / "data/sounding_shapes/videos/test").glob("*.mp4")):
        sample, inputs = inference(model, path, return_inputs=True)
        boxes = true_boxes(config, sample.metainfo, read_ground_truth(path))[0]
        clip = inputs["imgs"].float().mean(dim=0)  # (T, H, W)
        assert len(boxes) == len(clip)
        height, width = clip.shape[1:]
        change = (clip[1:] - clip[:-1]).abs()
        for t, difference in enumerate(change):
            mask = np.zeros((height, width), bool)
            for box in boxes[t : t + 2]:
                if not box.isnan().any():
                    x1, y1, x2, y2 = (
                        (box * torch.tensor([width, height] * 2)).round().int().tolist()
                    )
                    mask[y1:y2, x1:x2] = True
            if mask.any():
                inside.append(difference[torch.from_numpy(mask)].mean().item())
                outside.append(difference[torch.from_numpy(~mask)].mean().item())
    assert np.mean(inside) > 3 * np.mean(outside)
