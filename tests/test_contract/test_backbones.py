"""Encoders return what their docstrings say, whatever the size and the memory format."""

import inspect
import math
import re
from itertools import pairwise

import pytest
import torch
from helpers.registered import registered
from mmaction.registry import MODELS

BACKBONES = registered("MODELS", "models.backbones")
EXAMPLE = re.compile(r"`\(B, ([\d, ]+)\)`[^`]* gives? a\s+`\(B, ([\d, ]+)\)`\s+map")
STAGED = [
    name
    for name, backbone in BACKBONES.items()
    if "out_indices" in inspect.signature(backbone).parameters
]
WIDTH = 4


def example(name):
    """Shapes of input and output of the default network, as the docstring states them."""
    match = EXAMPLE.search(inspect.cleandoc(BACKBONES[name].__doc__))
    assert match, (
        f"state in the docstring of {name} what an input gives, as in: a `(B, 3, 32, 128, 128)` "
        "clip gives a `(B, 512, 4, 8, 8)` map"
    )
    return [[int(size) for size in shape.split(",")] for shape in match.groups()]


def thin(name, **kwargs):
    parameters = inspect.signature(BACKBONES[name]).parameters
    assert parameters["base_channels"].default == 64, f"{name} needs base_channels for small runs"
    torch.manual_seed(0)
    model = MODELS.build(dict(type=name, base_channels=WIDTH, **kwargs))
    model.init_weights()
    return model.eval()


def strides(given, result):
    """How much each axis shrinks: by the power of two that leads from one size to the other."""
    fitting = [
        [2**k for k in range(8) if math.ceil(size / 2**k) == out]
        for size, out in zip(given[1:], result[1:], strict=True)
    ]
    assert all(len(powers) == 1 for powers in fitting), f"{given} gives {result}: not told apart"
    return [powers[0] for powers in fitting]


@pytest.mark.parametrize("name", BACKBONES)
@pytest.mark.parametrize("fraction", [1, 0.6])
def test_map_has_the_stated_size(name, fraction):
    given, result = example(name)
    size = [max(1, round(fraction * n)) for n in given[1:]]
    model = thin(name)
    x = torch.randn(1, given[0], *size)
    with torch.no_grad():
        out = model(x)
    expected = [math.ceil(n / s) for n, s in zip(size, strides(given, result), strict=True)]
    assert out.dtype == torch.float32 and out.isfinite().all()
    assert list(out.shape) == [1, result[0] * WIDTH // 64, *expected]
    assert model.out_channels == out.shape[1]
    # no matter how the input lies in memory
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    with torch.no_grad():
        again = model(x.contiguous(memory_format=formats[x.ndim]))
    torch.testing.assert_close(again, out)


@pytest.mark.parametrize("name", STAGED)
def test_stages_come_in_order_and_grow(name):
    given, _ = example(name)
    x = torch.randn(1, given[0], *(n // 4 for n in given[1:]))
    with torch.no_grad():
        last = thin(name)(x)
        maps = thin(name, out_indices=(0, 1, 2, 3))(x)
        third = thin(name, out_indices=(2,))(x)
    assert [y.shape[1] for y in maps] == [WIDTH * 2**stage for stage in range(4)]
    assert torch.equal(maps[3], last) and torch.equal(maps[2], third)
    for before, after in pairwise(maps):
        assert all(a >= b for a, b in zip(before.shape[2:], after.shape[2:], strict=True))


@pytest.mark.parametrize("name", BACKBONES)
def test_bfloat16_and_one_sample_in_training(name):
    given, _ = example(name)
    model = thin(name).train()
    x = torch.randn(1, given[0], *(n // 4 for n in given[1:]))
    with torch.autocast("cpu", torch.bfloat16):
        out = model(x)
    out.float().square().mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
