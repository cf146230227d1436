"""Mixed precision, gradient checkpointing and compilation against plain float32."""

import copy

import pytest
import torch
from helpers.training import train
from torch.nn.modules.batchnorm import _BatchNorm

from cmac_mm.engine.hooks import AccelerationHook
from cmac_mm.models import AudioResNet, R2Plus1D


def test_bfloat16_follows_float32(config, tmp_path):
    """Ten steps on CPU. Rounding grows from step to step, more so with ten clips a batch."""
    curves = {}
    for kind in ("OptimWrapper", "BFloat16OptimWrapper"):
        options = {
            "optim_wrapper.type": kind,
            # The demo's networks and pictures: with less of them there is more rounding.
            "train_dataloader.dataset.pipeline.2.short_side": 64,
            "train_dataloader.dataset.pipeline.3.transforms.0.size": 64,
            "visual_width": 8,
            "audio_width": 16,
            "filter_channels": 64,
            "train_cfg.max_epochs": 10,
            "default_hooks.checkpoint.interval": 10,
            "default_hooks.checkpoint.interval_iters": 0,
            "train_dataloader.batch_size": 10,
            # AdamW turns any small difference into one of the size of its step.
            "optim_wrapper.optimizer": dict(type="SGD", lr=0.001, momentum=0.9, _delete_=True),
        }
        steps, state = train(config(tmp_path / kind, **options))
        curves[kind] = torch.tensor([loss for loss, _ in steps])
        assert {x.dtype for x in state.values()} == {torch.float32, torch.int64}
    full, half = curves.values()
    assert not torch.equal(full, half)
    deviation = (half / full - 1).abs()
    assert deviation[0] < 0.005  # the same weights
    assert deviation.mean() < 0.03 and deviation.max() < 0.1


@pytest.mark.parametrize("kind", [R2Plus1D, AudioResNet])
def test_checkpointing_changes_nothing_but_memory(kind):
    """Gradients and batch norm statistics, which the second forward pass must not update."""
    torch.manual_seed(0)
    plain = kind(base_channels=4)
    saving = copy.deepcopy(plain)
    saving.with_cp = True
    x = torch.randn(2, 3, 8, 16, 16) if kind is R2Plus1D else torch.randn(2, 1, 32, 32)
    for model in (plain, saving):
        for _ in range(2):
            model(x).square().mean().backward()
    for (name, first), second in zip(plain.named_parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(second.grad, first.grad, msg=name)
    for (name, first), second in zip(plain.named_buffers(), saving.buffers(), strict=True):
        torch.testing.assert_close(second, first, msg=name)
    assert all(m.momentum == 0.1 for m in saving.modules() if isinstance(m, _BatchNorm))
    with torch.no_grad():
        torch.testing.assert_close(plain.eval()(x), saving.eval()(x))


def test_checkpointing_keeps_less():
    kept = {}
    for with_cp in (False, True):
        model = R2Plus1D(base_channels=4, with_cp=with_cp)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, sizes=sizes: sizes.append(x.numel()) or x, lambda x: x
        ):
            model(torch.randn(2, 3, 8, 16, 16))
        kept[with_cp] = sum(sizes)
    assert kept[True] < kept[False] / 2


def test_options_compose(config, tmp_path):
    """bfloat16, checkpointing, a fused optimiser, accumulation and TF32 in one run."""
    options = {
        "optim_wrapper.type": "BFloat16OptimWrapper",
        "optim_wrapper.accumulative_counts": 2,
        "optim_wrapper.optimizer.fused": True,
        "model.visual_backbone.with_cp": True,
        "model.audio_backbone.with_cp": True,
    }
    steps, _ = train(config(tmp_path, **options))
    assert len(steps) == 10 and all(0 < loss < 100 for loss, _ in steps)


@pytest.mark.parametrize("tf32", [True, False])
def test_matrix_products_of_losses_never_use_tf32(tf32):
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        AccelerationHook(tf32=tf32).before_train(None)
        assert torch.backends.cudnn.allow_tf32 == tf32
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])


@pytest.mark.slow
def test_compiled_encoders_give_the_same_losses(config, tmp_path):
    """Needs a C++ compiler on CPU; minutes."""
    curves = []
    for compiled in (None, {}):
        cfg = config(tmp_path / str(compiled), **{"train_cfg.max_epochs": 1})
        hook = next(hook for hook in cfg.custom_hooks if hook.type == "AccelerationHook")
        hook.compile = compiled
        steps, state = train(cfg)
        curves.append([loss for loss, _ in steps])
        assert not any("_orig_mod" in key for key in state)
    assert curves[1] == pytest.approx(curves[0], rel=1e-3)


@pytest.mark.slow
def test_compiled_checkpointing_changes_nothing():
    torch.manual_seed(0)
    plain = R2Plus1D(base_channels=4, stage_blocks=(1, 1, 1, 1)).double()
    compiled = copy.deepcopy(plain)
    compiled.with_cp = True
    compiled.compile(fullgraph=True)
    x = torch.randn(2, 3, 8, 16, 16, dtype=torch.float64)
    for model in (plain, compiled):
        for _ in range(2):
            model(x).square().mean().backward()
    for (name, first), second in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(second.grad, first.grad, msg=name)
    for (name, first), second in zip(plain.named_buffers(), compiled.buffers(), strict=True):
        torch.testing.assert_close(second, first, msg=name)
