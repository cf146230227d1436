"""A training run with and without the sheet, and what MMEngine's backends get."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

import cmac_mm
from cmac_mm.engine.hooks import AttentionSheetHook
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes


def train(folder, work_dir, hooks, epochs=2):
    torch.set_num_threads(1)
    cfg = cmac_mm.load_config("cmac_mm::demo/cmac_sounding-shapes.py")
    for part in ("train", "test"):
        loader = cfg[f"{part}_dataloader"]
        loader.update(batch_size=4, num_workers=0)
        loader.pop("persistent_workers", None)
        loader.dataset.update(ann_file=f"{folder}/{part}.txt", data_prefix=dict(video=str(folder)))
    cfg.test_dataloader.dataset.pipeline[1].mode = "random"
    cfg.train_cfg.max_epochs = epochs
    cfg.custom_hooks = [*cfg.custom_hooks[:2], *hooks]
    cfg.vis_backends = [dict(type="LocalVisBackend")]
    if find_spec("tensorboard"):
        cfg.vis_backends.append(dict(type="TensorboardVisBackend"))
    cfg.visualizer = dict(type="ActionVisualizer", vis_backends=cfg.vis_backends)
    cfg.randomness = dict(seed=1)
    cfg.work_dir, cfg.experiment_name = str(work_dir), work_dir.name
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_sheets_reach_the_backends_and_leave_training_as_it_is(tmp_path):
    shapes = tmp_path / "shapes"
    make_sounding_shapes(shapes, num_train=8, num_test=8, num_bad=0, seed=0, workers=1)
    plain = train(shapes, tmp_path / "plain", [])
    hook = dict(type="AttentionSheetHook", num_videos=3)
    watched = train(shapes, tmp_path / "watched", [hook])
    state = plain.model.state_dict()
    for name, value in watched.model.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert watched.model.training
    pictures = sorted((tmp_path / "watched").glob("*/vis_data/vis_image/attention_*.png"))
    assert [path.name for path in pictures] == ["attention_2.png", "attention_4.png"]
    first, last = (np.asarray(Image.open(path)).astype(int) for path in pictures)
    assert first.shape == last.shape and first.shape[1] > first.shape[0] > 300
    # The same clips under other weights: frames stay, heat moves.
    changed = np.abs(first - last).max(axis=2) > 30
    assert 0 < changed.mean() < 0.5 and not changed[:, : first.shape[1] // 6].any()
    if find_spec("tensorboard"):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        (folder,) = (tmp_path / "watched").glob("*/vis_data")
        found = EventAccumulator(str(folder), size_guidance={"images": 0})
        found.Reload()
        assert [event.step for event in found.Images("attention")] == [2, 4]


def test_refusals(tmp_path):
    for name in ("num_videos", "interval"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
            AttentionSheetHook(**{name: 0})
