"""tools/evaluate.py for retrieval, on real UCF101 clips with a thin network, as a user runs it."""

import json
from functools import partial

import pytest
import torch
from helpers import processes
from helpers.paths import ROOT
from helpers.tools_in_process import run_tool
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope
from PIL import Image

import cmac_mm

CONFIG = ROOT / "configs/retrieval/cmac_r2plus1d-18_32x128_ucf101.py"
# Fewer and smaller clips, to save time.
OPTIONS = {
    "model.backbone.base_channels": 4,
    "model.backbone.stage_blocks": "(1,1,1,1)",
    "test_dataloader.num_workers": 1,
    **{
        f"test_dataloader.dataset.{part}.pipeline.{key}": value
        for part in ("gallery", "query")
        for key, value in {"1.num_clips": 3, "2.clip_len": 4, "3.crop_size": 32}.items()
    },
}


run = partial(run_tool, "evaluate.py", LOCAL_RANK="0", CUDA_VISIBLE_DEVICES="")


def on_two_ranks(*args, cwd):
    code, output = processes.run_tool("evaluate.py", *args, "--gpus", 2, cwd=cwd)
    assert code == 0, output


def options(**more):
    return ["--cfg-options", *(f"{key}={value}" for key, value in {**OPTIONS, **more}.items())]


@pytest.fixture(scope="module")
def folder(media_dir, tmp_path_factory):
    """The official split 1 of the clips at hand (5 classes), in the layout the configs expect."""
    folder = tmp_path_factory.mktemp("ucf")
    lists = media_dir / "ucf101_mini/ucfTrainTestlist"
    annotations = folder / "data/ucf101/annotations"
    annotations.mkdir(parents=True)
    (folder / "data/ucf101/videos").symlink_to(media_dir / "ucf101_mini/UCF-101")
    index = [line.split() for line in (lists / "classInd.txt").read_text().splitlines() if line]
    labels = {name: int(number) - 1 for number, name in index}
    for part in ("train", "test"):
        names = (lists / f"{part}list01.txt").read_text().split()
        names = [name for name in names if name.endswith(".avi")]
        lines = [f"{name} {labels[name.split('/')[0]]}\n" for name in names]
        (annotations / f"ucf101_{part}_split1.txt").write_text("".join(lines))
    (annotations / "classes.txt").write_text("".join(f"{name}\n" for name in labels))

    init_default_scope("mmaction")
    torch.manual_seed(1)
    backbone = dict(type="R2Plus1D", base_channels=4, stage_blocks=(1, 1, 1, 1))
    state = MODELS.build(backbone).state_dict()
    checkpoint = {"state_dict": {f"visual_backbone.{key}": value for key, value in state.items()}}
    torch.save(checkpoint, folder / "checkpoint.pth")
    return folder


@pytest.fixture(scope="module")
def alone(folder):
    """One rank, from nothing."""
    run(CONFIG, "checkpoint.pth", "--work-dir", "alone", *options(), cwd=folder)
    return json.loads((folder / "alone/ucf101-retrieval.json").read_text())


def figures(result):
    return {key: value for key, value in result.items() if key != "date"}


def test_result_is_that_of_a_loop_over_the_features(alone, folder):
    result = alone
    assert (result["num_gallery"], result["num_query"]) == (40, 20)
    assert (result["protocol"], result["split"]) == ("cmac", 1)
    assert result["checkpoint"] == "checkpoint.pth"
    assert set(result["metrics"]) == {"R@1", "R@5", "R@10", "R@20"}  # 50 is beyond the gallery
    assert result["chance"]["R@1"] == pytest.approx(0.2)
    parts = [torch.load(path) for path in (folder / "alone/features").rglob("part_*.pt")]
    assert len(parts) == 1
    rows, x = parts[0]["sample_idx"].tolist(), parts[0]["visual_feature"].double()
    assert rows == list(range(60))
    labels = parts[0]["label"].tolist()
    for k in (1, 5):
        hits = 0
        for query in range(40, 60):
            similarity = [float(x[query] @ g / x[query].norm() / g.norm()) for g in x[:40]]
            nearest = sorted(range(40), key=lambda row, s=similarity: -s[row])[:k]
            hits += labels[query] in [labels[row] for row in nearest]
        assert result["metrics"][f"R@{k}"] == pytest.approx(hits / 20)
    with Image.open(folder / "alone/neighbours.png") as sheet:
        assert sheet.width > 800 and sheet.height > 800


@pytest.mark.slow
def test_two_ranks_give_the_same_digits_and_a_second_run_computes_nothing(alone, folder):
    args = ["checkpoint.pth", "--work-dir", "two"]
    less = {"evaluation.sheet_queries": 0}
    batches = options(**{"test_dataloader.batch_size": 3, **less})
    on_two_ranks(CONFIG, *args, *batches, cwd=folder)
    two = json.loads((folder / "two/ucf101-retrieval.json").read_text())
    assert figures(two) == figures(alone)
    parts = sorted((folder / "two/features").rglob("part_*.pt"))
    shares = [torch.load(path)["sample_idx"].tolist() for path in parts]
    assert shares == [list(range(0, 60, 2)), list(range(1, 60, 2))]

    times = [path.stat().st_mtime_ns for path in parts]
    run(CONFIG, *args, *options(**less), cwd=folder)
    assert not (folder / "two/neighbours.png").exists()
    assert figures(json.loads((folder / "two/ucf101-retrieval.json").read_text())) == figures(two)
    assert sorted((folder / "two/features").rglob("part_*.pt")) == parts
    assert [path.stat().st_mtime_ns for path in parts] == times


def test_wrong_prefix_and_missing_video_are_named(folder):
    args = [CONFIG, "checkpoint.pth", "--work-dir", "bad"]
    with pytest.raises(RuntimeError, match=r"no key starts with 'audio_backbone\.'"):
        run(*args, "--encoder-prefix", "audio_backbone.", *options(), cwd=folder)
    broken = folder / "broken.txt"
    broken.write_text("Archery/v_Archery_g99_c01.avi 2\n")
    query = {"test_dataloader.dataset.query.ann_file": broken}
    with pytest.raises(Exception, match=r"Archery/v_Archery_g99_c01\.avi: cannot be opened"):
        run(*args, *options(**query), cwd=folder)
    assert not (folder / "bad/ucf101-retrieval.json").exists()


def test_selavi_config_differs_in_what_selavi_does():
    cfg = cmac_mm.load_config("cmac_mm::retrieval/selavi_r2plus1d-18_32x112_hmdb51.py")
    assert (cfg.model.pooling, cfg.model.normalize_clips) == ("max2", True)
    assert (cfg.evaluation.benchmark, cfg.evaluation.protocol) == ("hmdb51-retrieval", "selavi")
    assert cfg.test_evaluator.distance == "euclidean"
    data = cfg.test_dataloader.dataset
    assert data.gallery.ann_file == "data/hmdb51/annotations/hmdb51_train_split1.txt"
    assert data.query.data_prefix.video == "data/hmdb51/videos"
    modes = [part.pipeline[1].mode for part in (data.gallery, data.query)]
    assert modes == ["random", "uniform"]
