"""tools/evaluate.py and tools/test.py on data with boxes, in both layouts."""

import json

import cv2
import numpy as np
import pytest
import soundfile
import torch
from helpers.tools_in_process import run_tool

from cmac_mm.apis import inference, init_model
from cmac_mm.datasets import MediaFile
from cmac_mm.datasets.av_reader import read_sound
from cmac_mm.evaluation import load_results
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes, read_ground_truth
from cmac_mm.utils import load_config
from cmac_mm.visualization import middle_frame

CONFIG = """
_base_ = ["cmac_mm::demo/cmac_sounding-shapes.py"]
pipeline = [
    {sound},
    dict(type="Resize", scale=(64, 64), keep_ratio=False),
    _base_.log_mel,
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(
    batch_size=3,
    num_workers=0,
    dataset=dict(
        _delete_=True,
        type="LocalisationDataset",
        ann_file="names.csv",
        boxes="vggss.json",
        data_prefix={prefix},
        pipeline=pipeline,
    ),
)
test_evaluator = dict(type="LocalisationMetric", _delete_=True)
evaluation = dict(_delete_=True, type="localisation", benchmark="shapes", protocol="{layout}")
"""
CLIP = 'dict(type="SampleClips", duration=1.0, mode="uniform")'
LAYOUTS = {
    "still": dict(
        prefix="dict(picture='frames', audio='audio')",
        sound=f'dict(type="LoadAudio"), {CLIP}, dict(type="CropAudio"), '
        'dict(type="StillClip", clip_len=8)',
    ),
    "video": dict(
        prefix="dict(video='videos/test')",
        sound=f'dict(type="OpenAudioVisual"), {CLIP}, '
        'dict(type="DecodeAudioVisual", fps=8, clip_len=8)',
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Videos, their middle pictures and sounds, boxes, and an untrained checkpoint."""
    folder = tmp_path_factory.mktemp("localisation")
    make_sounding_shapes(folder, num_train=8, num_test=4, seed=1, workers=1, num_bad=0)
    entries = []
    for name in ("frames", "audio"):
        (folder / name).mkdir()
    for path in sorted((folder / "videos/test").glob("*.mp4")):
        picture = cv2.cvtColor(np.asarray(middle_frame(str(path))), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"frames/{path.stem}.jpg"), picture)
        media = MediaFile(str(path))
        sound = read_sound(media, [0.0], media.duration, 24000)[0]
        media.close()
        soundfile.write(folder / f"audio/{path.stem}.wav", sound, 24000)
        truth = read_ground_truth(path)
        box = np.array(truth["boxes"])[len(truth["boxes"]) // 2]
        size = [truth["width"], truth["height"]] * 2
        entries.append({"file": path.stem, "class": truth["kind"], "bbox": [(box / size).tolist()]})
    (folder / "vggss.json").write_text(json.dumps(entries))
    (folder / "names.csv").write_text("".join(f"{entry['file']}\n" for entry in entries))
    torch.manual_seed(3)
    state = init_model("cmac_mm::demo/cmac_sounding-shapes.py").state_dict()
    torch.save({"state_dict": state}, folder / "epoch_1.pth")
    for layout, parts in LAYOUTS.items():
        (folder / f"{layout}.py").write_text(CONFIG.format(layout=layout, **parts))
    return folder


def expected(folder, layout):
    """The mean cIoU of the guided maps, by way of inference on each file."""
    cfg = load_config(folder / "video.py")
    cious = []
    for entry in json.loads((folder / "vggss.json").read_text()):
        sample = inference(
            init_model(cfg, folder / "epoch_1.pth"), folder / f"videos/test/{entry['file']}.mp4"
        )
        cells = sample.guided_visual_attention[0].mean(dim=0).numpy()
        # OpenCV's bilinear scaling is the one that the field's code calls.
        scaled = cv2.resize(cells, (224, 224), interpolation=cv2.INTER_LINEAR)
        predicted = scaled >= np.sort(scaled.ravel())[224 * 224 // 2]
        truth = np.zeros((224, 224))
        ((x1, y1, x2, y2),) = (np.array(entry["bbox"]) * 224).astype(int)
        truth[y1:y2, x1:x2] = 1
        outside = (predicted * (truth == 0)).sum()
        cious.append((predicted * truth).sum() / (truth.sum() + outside))
    return np.mean(cious)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_layouts(folder, layout, capsys):
    run_tool("evaluate.py", f"{layout}.py", "epoch_1.pth", "--work-dir", layout, cwd=folder)
    (result,) = load_results(folder / layout)
    assert (result["benchmark"], result["protocol"]) == ("shapes", layout)
    names = {f"{k}_{s}" for k in ("guided", "predicted") for s in ("cIoU", "mean_cIoU", "AUC")}
    assert result["metrics"].keys() == result["chance"].keys() == names
    assert (result["num_pictures"], result["num_without_box"]) == (4, 0)
    assert result["chance"]["guided_AUC"] == result["chance_AUC"] > 0
    assert "4 pictures, 0 of which have no box" in capsys.readouterr().out
    if layout == "video":
        assert result["metrics"]["guided_mean_cIoU"] == pytest.approx(
            expected(folder, layout), abs=1e-3
        )
    run_tool("report.py", layout, "--out", "report", cwd=folder)
    assert f"| shapes | {layout} | guided_cIoU | " in capsys.readouterr().out


def test_test_gives_the_same(folder):
    run_tool("test.py", "still.py", "epoch_1.pth", "--work-dir", "again", cwd=folder)
    run_tool("evaluate.py", "still.py", "epoch_1.pth", "--work-dir", "still", cwd=folder)
    (result,) = load_results(folder / "still")
    (log,) = (folder / "again").glob("*/*.json")
    found = json.loads(log.read_text())
    for name, value in result["metrics"].items():
        assert found[f"localisation/{name}"] == pytest.approx(value, abs=1e-4)


def test_a_crop_is_refused(folder):
    text = (folder / "video.py").read_text()
    resize = 'dict(type="Resize"'
    text = text.replace(resize, f'dict(type="CenterCrop", crop_size=48), {resize}')
    (folder / "cropped.py").write_text(text)
    with pytest.raises(ValueError, match=r"\.mp4 was cropped or flipped"):
        run_tool("evaluate.py", "cropped.py", "epoch_1.pth", "--work-dir", "c", cwd=folder)
