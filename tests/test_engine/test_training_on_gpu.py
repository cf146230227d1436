"""Whole runs on a GPU: resuming, the gradient scaler, NCCL with one rank, compilation."""

import socket

import pytest
import torch
from helpers.training import assert_same, train

from cmac_mm.utils import setup_launcher, shut_down
from cmac_mm.utils.checkpoint import read_checkpoint

pytestmark = pytest.mark.gpu


def losses(steps):
    return [loss for loss, _ in steps]


@pytest.mark.parametrize("method", ["cmac", "avid-cma", "xdc"])
def test_resumes_where_it_was(config, tmp_path, method):
    """On a GPU sums may be added in another order, so not to the last bit."""
    whole, state = train(config(tmp_path / "whole", method=method))
    before, _ = train(config(tmp_path / "parts", method=method), stop_after=7)
    after, resumed = train(config(tmp_path / "parts", method=method), resume=True)
    assert [files for _, files in before + after] == [files for _, files in whole]
    assert losses(before + after) == pytest.approx(losses(whole), rel=0.02)
    assert state.keys() == resumed.keys()


def test_scaler_is_resumed(config, tmp_path):
    """float16: the scale grows every three steps, and the count goes on after a resumption."""
    scaler = dict(init_scale=64.0, growth_interval=3)
    options = {"optim_wrapper.type": "AmpOptimWrapper", "optim_wrapper.loss_scale": scaler}
    whole, _ = train(config(tmp_path / "whole", **options))
    before, _ = train(config(tmp_path / "parts", **options), stop_after=7)
    after, _ = train(config(tmp_path / "parts", **options), resume=True)
    assert losses(before + after) == pytest.approx(losses(whole), rel=0.05)
    scalers = [
        read_checkpoint(tmp_path / name / "epoch_2.pth")["optimizer"]["loss_scaler"]
        for name in ("whole", "parts")
    ]
    assert scalers[0] == scalers[1]
    assert scalers[0]["scale"] == 64.0 * 2**3 and scalers[0]["_growth_tracker"] == 1


def test_overflowing_steps_are_left_out(config, tmp_path):
    """A scale that is far too large: weights and key encoders stay, and the scale falls."""
    options = {
        "optim_wrapper.type": "AmpOptimWrapper",
        "optim_wrapper.loss_scale": dict(init_scale=2.0**60),
        "train_cfg.max_epochs": 1,
    }
    steps, state = train(config(tmp_path, **options))
    saved = read_checkpoint(tmp_path / "epoch_1.pth")
    assert saved["optimizer"]["loss_scaler"]["scale"] == 2.0 ** (60 - len(steps))
    for name, value in state.items():
        if name.startswith("key_encoders.visual.backbone") and name.endswith("weight"):
            own = state[name.replace("key_encoders.visual.backbone", "visual_backbone")]
            assert torch.equal(value, own), name


@pytest.mark.parametrize("kind", ["BFloat16OptimWrapper", "AmpOptimWrapper"])
def test_options_compose(config, tmp_path, kind):
    options = {
        "optim_wrapper.type": kind,
        "optim_wrapper.accumulative_counts": 2,
        "optim_wrapper.optimizer.fused": True,
        "model.visual_backbone.with_cp": True,
        "model.audio_backbone.with_cp": True,
    }
    steps, _ = train(config(tmp_path, **options))
    assert len(steps) == 10 and all(0 < loss < 100 for loss in losses(steps))


def test_deterministic_runs_repeat_to_the_last_bit(config, tmp_path):
    """With the paper's network and loss; max-pooling in 3-D and resized targets cannot be."""
    options = {
        "randomness.deterministic": True,
        "model.visual_backbone.variant": "torchvision",
        "model.head.loss_attention.detach_target": True,
    }
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    try:
        first, state = train(config(tmp_path / "first", **options))
        second, other = train(config(tmp_path / "second", **options))
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before
    assert first == second
    assert_same(state, other)


def test_nccl_with_one_rank(config, tmp_path, monkeypatch):
    alone, _ = train(config(tmp_path / "alone"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = dict(RANK=0, LOCAL_RANK=0, WORLD_SIZE=1, MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    for key, value in group.items():
        monkeypatch.setenv(key, str(value))
    cfg = config(tmp_path / "ranks")
    setup_launcher(cfg, "pytorch")
    steps, _ = train(cfg)
    assert torch.distributed.get_backend() == "nccl"
    shut_down()
    assert losses(steps) == pytest.approx(losses(alone), rel=0.02)


def test_compiled_encoders_give_the_same_losses(config, tmp_path):
    curves = []
    for compiled in (None, {}):
        cfg = config(tmp_path / str(compiled), **{"train_cfg.max_epochs": 1})
        hook = next(hook for hook in cfg.custom_hooks if hook.type == "AccelerationHook")
        hook.compile = compiled
        steps, state = train(cfg)
        curves.append(losses(steps))
        assert not any("_orig_mod" in key for key in state)
    assert curves[1] == pytest.approx(curves[0], rel=0.01)
