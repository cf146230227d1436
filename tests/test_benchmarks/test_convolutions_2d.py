"""3-D convolutions as 2-D ones: the same function, gradients, keys and memory format."""

import copy

import pytest
import torch
from convolutions_2d import Conv3dAs2d, use_2d

from cmac_mm.models import R2Plus1D
from cmac_mm.models.layers import SafeConv3d

CONVOLUTIONS = {
    "space": dict(kernel_size=(1, 3, 3), padding=(0, 1, 1)),
    "space, stride": dict(kernel_size=(1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
    "time": dict(kernel_size=(3, 1, 1), padding=(1, 0, 0)),
    "time, stride": dict(kernel_size=(3, 1, 1), stride=(2, 1, 1), padding=(1, 0, 0), bias=False),
    "point": dict(kernel_size=1),
    "point, stride": dict(kernel_size=1, stride=2),
    "both": dict(kernel_size=(3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3)),
    "groups": dict(kernel_size=(1, 3, 3), padding=(0, 1, 1), groups=2),
    "dilation": dict(kernel_size=(3, 1, 1), dilation=(2, 1, 1)),
}


def gradients(module, x):
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    out = module(x)
    weights = torch.arange(out.numel(), dtype=torch.double).sin().view(out.shape)
    out.backward(weights.to(out.dtype))
    return [out.detach(), x.grad, *(p.grad for p in module.parameters())]


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS.keys())
def test_convolutions(options):
    torch.manual_seed(0)
    plain = SafeConv3d(4, 6, **options).double().to(memory_format=torch.channels_last_3d)
    other = use_2d(copy.deepcopy(plain))
    x = torch.randn(2, 4, 7, 9, 11).double().contiguous(memory_format=torch.channels_last_3d)
    for found, expected in zip(gradients(other, x), gradients(plain, x), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["space", "space, stride", "time", "time, stride"])
def test_nothing_is_copied(name):
    """Input, weight and output are seen as 2-D ones where they lie."""
    conv = use_2d(SafeConv3d(4, 6, **CONVOLUTIONS[name]).to(memory_format=torch.channels_last_3d))
    x = torch.randn(2, 4, 7, 9, 11).contiguous(memory_format=torch.channels_last_3d)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        out = conv(x)
    assert out.is_contiguous(memory_format=torch.channels_last_3d)
    names = {event.key for event in profile.key_averages()}
    assert "aten::conv2d" in names
    assert not names & {"aten::copy_", "aten::clone", "aten::contiguous"}


@pytest.mark.parametrize("variant", ["torchvision", "caffe2", "avid"])
def test_network(variant):
    torch.manual_seed(0)
    plain = R2Plus1D(variant=variant, base_channels=4).double()
    other = use_2d(copy.deepcopy(plain))
    assert any(isinstance(module, Conv3dAs2d) for module in other.modules())
    x = torch.randn(2, 3, 8, 32, 32, dtype=torch.double)
    for found, expected in zip(gradients(other, x), gradients(plain, x), strict=True):
        torch.testing.assert_close(found, expected)
    plain.load_state_dict(other.state_dict())


def test_short_clips_in_bfloat16():
    """Where a CPU's 3-D weight gradient is wrong, and computed in float32, the 2-D one is right."""
    torch.manual_seed(0)
    conv = use_2d(SafeConv3d(32, 16, (3, 1, 1), padding=(1, 0, 0), bias=False))
    x = torch.randn(2, 32, 2, 5, 5)
    exact = gradients(copy.deepcopy(conv).double(), x.double())
    half = gradients(conv.bfloat16(), x.bfloat16())
    for found, expected in zip(half, exact, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=0.05, atol=0.1)
