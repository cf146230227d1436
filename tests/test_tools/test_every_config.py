"""tools/test.py with every config: it runs its test part, or says what to use instead."""

import json
import shutil

import cv2
import numpy as np
import pytest
import soundfile
import torch
from helpers.paths import ROOT
from helpers.tools_in_process import run_tool
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

from cmac_mm.preparation.sounding_shapes import make_sounding_shapes
from cmac_mm.utils import load_config

CONFIGS = sorted(
    str(path.relative_to(ROOT / "configs"))
    for path in (ROOT / "configs").rglob("*.py")
    if "_base_" not in path.parts
)
TEST_PART = ("test_dataloader", "test_cfg", "test_evaluator")
ONE_MODALITY = [
    f"cmac/cmac_ablation-{name}-50e_k400.py"
    for name in (
        *("visual-only_8xb8-32x128", "visual-only-one-clip_8xb8-32x128"),
        *("audio-only_8xb8-1s", "audio-only-one-clip_8xb8-1s"),
    )
]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_has_a_test_part_or_says_what_to_use(name, tmp_path):
    """All have but classifiers on frozen features, and models that find nothing across both."""
    cfg = load_config(ROOT / "configs" / name)
    if cfg.get("test_evaluator"):
        assert all(cfg.get(part) for part in TEST_PART)
        return
    config = f"cmac_mm::{name}"
    message = f"^{config} has no test part: use tools/evaluate\\.py {config} CHECKPOINT$"
    if name in ONE_MODALITY:
        message = "has no test part: judge its encoder with tools/evaluate.py and a config of"
    else:
        assert name.startswith("audio/") and "1xb" not in name
    with pytest.raises(ValueError, match=message):
        run_tool("test.py", config, "any.pth", cwd=tmp_path)


def test_a_config_of_ones_own_says_what_to_add(tmp_path):
    base = str(ROOT / "configs/cmac_k400.py")
    (tmp_path / "own.py").write_text(f"_base_ = [{base!r}]\ntest_evaluator = None\n")
    with pytest.raises(ValueError, match=r"own\.py has no test part: .*, or add test_evaluator$"):
        run_tool("test.py", "own.py", "any.pth", cwd=tmp_path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two videos and two sounds."""
    folder = tmp_path_factory.mktemp("data")
    make_sounding_shapes(folder, num_train=8, num_test=2, seed=1, workers=1, num_bad=0)
    videos = sorted((folder / "videos/test").glob("*.mp4"))
    sounds = [folder / f"{number}.wav" for number in range(2)]
    generator = torch.Generator().manual_seed(0)
    for path in sounds:
        soundfile.write(path, torch.rand(66150, generator=generator).numpy() - 0.5, 22050)
    for video in videos:
        shutil.copy(sounds[0], folder / f"{video.stem}.wav")
        cv2.imwrite(str(folder / f"{video.stem}.jpg"), np.full((90, 120, 3), 99, np.uint8))
    entries = [dict(file=video.stem, bbox=[[0.2, 0.2, 0.8, 0.9]]) for video in videos]
    (folder / "vggss.json").write_text(json.dumps(entries))
    (folder / "names.csv").write_text("".join(f"{video.stem}\n" for video in videos))
    for name, files in (("videos", videos), ("sounds", sounds)):
        lines = [f"{path} {label}\n" for label, path in enumerate(files)]
        (folder / f"{name}.txt").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def seen():
    """What has been run."""
    return set()


def shrink(loader, data):
    """One clip of each of two videos."""
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    datasets = [loader.dataset]
    if loader.dataset.type == "RetrievalDataset":
        datasets = [loader.dataset.gallery, loader.dataset.query]
    for dataset in datasets:
        if dataset.type == "LocalisationDataset":
            dataset.update(ann_file=str(data / "names.csv"), boxes=str(data / "vggss.json"))
            folder = data / "videos/test" if "video" in dataset.data_prefix else data
            dataset.data_prefix = dict.fromkeys(dataset.data_prefix, str(folder))
        else:
            kind = "sounds" if dataset.type == "AudioClipDataset" else "videos"
            dataset.update(ann_file=str(data / f"{kind}.txt"), data_prefix={})
        for step in dataset.pipeline:
            if step.type == "SampleClips":
                step.num_clips = 1
            if step.type == "AVIDSpectrogram":
                step.statistics = None


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_runs(name, data, tmp_path, seen):
    """The whole network on two clips; configs that differ in their training alone share a run."""
    init_default_scope("mmaction")
    cfg = load_config(ROOT / "configs" / name)
    if not cfg.get("test_evaluator"):
        return
    key = repr([cfg.model.to_dict(), *(cfg[part].to_dict() for part in TEST_PART)])
    if key in seen:
        return
    shrink(cfg.test_dataloader, data)
    cfg.custom_hooks = []
    cfg.dump(tmp_path / "config.py")
    model = MODELS.build(cfg.model)
    state = model.state_dict()
    if cfg.model.type == "FeatureExtractor":
        state = {key.replace("backbone.", "visual_backbone.", 1): v for key, v in state.items()}
    torch.save({"state_dict": state}, tmp_path / "model.pth")
    run_tool("test.py", "config.py", "model.pth", "--work-dir", "out", cwd=tmp_path)
    (log,) = (tmp_path / "out").glob("*/*.log")
    assert "Epoch(test) [" in log.read_text()
    shutil.rmtree(tmp_path)
    seen.add(key)
