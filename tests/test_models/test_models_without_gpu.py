"""Training steps and predictions on a GPU that computes nothing: devices, and what waits."""

from contextlib import contextmanager

import pytest
import torch
from helpers.fake_gpu import CUDA, fake_gpu, move
from helpers.method_steps import METHODS, make_data


def watch_nothing(model):
    """Answer in advance what is asked of a tensor when it has changed."""
    answers = {"_has_positives": True, "_current_round": 0, "_candidates": None}
    for name, answer in answers.items():
        if hasattr(model, name):
            setattr(model, name, lambda _, answer=answer: answer)
    if hasattr(model.head, "loss_nce"):
        model.head.loss_nce._is_known = lambda _: True


def to_gpu(data):
    """As the training loop's copy to the device."""
    inputs = {key: torch.empty_like(x, device=CUDA) for key, x in data["inputs"].items()}
    return dict(inputs=inputs, data_samples=data["data_samples"])


@contextmanager
def autocast():
    """``torch.autocast("cuda", torch.bfloat16)``, which without a GPU does nothing."""
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.set_autocast_enabled("cuda", True)
    try:
        yield
    finally:
        torch.set_autocast_enabled("cuda", False)
        torch.clear_autocast_cache()


@pytest.mark.parametrize("method", METHODS)
def test_no_step_waits_for_the_gpu_or_mixes_devices(method):
    build, clips = METHODS[method]
    model = build().train()
    model.grad_norm_interval = 0  # needs a backward pass
    watch_nothing(model)
    dtypes = set()
    model.visual_backbone.register_forward_hook(lambda *args: dtypes.add(args[2].dtype))
    with fake_gpu():
        move(model)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, foreach=True)
        for _ in range(2):
            with autocast():
                data = model.data_preprocessor(to_gpu(make_data(clips)), training=True)
                losses = model(**data, mode="loss")
            _, logged = model.parse_losses(losses)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.grad = torch.zeros_like(parameter)
            optimiser.step()
        assert data["inputs"]["imgs"].device == CUDA
        assert dtypes == {torch.bfloat16}
        assert {x.device for x in logged.values()} == {CUDA}
        for name, value in losses.items():
            if "loss" in name:
                assert value.dtype == torch.float32, name
        assert all(x.device == CUDA for x in [*model.parameters(), *model.buffers()])


@pytest.mark.parametrize("method", ["cmac", "avid", "xdc"])
def test_predictions_are_on_the_gpu(method):
    build, clips = METHODS[method]
    model = build().eval()
    with fake_gpu():
        move(model)
        data = model.data_preprocessor(to_gpu(make_data(clips)))
        samples = model(**data, mode="predict")
        for sample in samples:
            fields = {key: value for key, value in sample.items() if "feature" in key}
            assert fields and {x.device for x in fields.values()} == {CUDA}


def test_the_fake_gpu_finds_what_it_is_for():
    real = torch.ones(20000)
    with fake_gpu():
        x = torch.ones(3, device=CUDA)
        for wrong in (
            lambda: x + torch.ones(3),
            lambda: x[x > 0],
            lambda: bool(x.sum()),
            lambda: torch.tensor([1.0], device=CUDA),
            lambda: real.to(CUDA),
            lambda: real.to(CUDA, non_blocking=True),
        ):
            with pytest.raises((RuntimeError, AssertionError)):
                wrong()
        assert real.pin_memory().to(CUDA, non_blocking=True).device == CUDA
