import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

import cmac_mm  # noqa: F401
from cmac_mm.models import CMACNeck
from cmac_mm.models.necks import correlation_response, pyramid_correlation


def _slow_response(kernel, feature_map, norm):
    out = torch.zeros(feature_map.shape[0], *feature_map.shape[2:], dtype=feature_map.dtype)
    for b in range(len(kernel)):
        for position in product(*map(range, feature_map.shape[2:])):
            x = feature_map[(b, slice(None), *position)]
            dot = sum(float(k) * float(v) for k, v in zip(kernel[b], x, strict=True))
            if norm == "cosine":
                dot = (1 + dot / (float(kernel[b].norm()) * float(x.norm()))) / 2
            out[(b, *position)] = dot
        if norm == "softmax":
            total = sum(math.exp(v) for v in out[b].flatten().tolist())
            out[b] = torch.exp(out[b]) / total
    return out


def _slow_pool(x):
    """Adaptive average pooling to half the size, from its definition."""
    for axis in range(2, x.ndim):
        size, new = x.shape[axis], max(1, x.shape[axis] // 2)
        parts = []
        for i in range(new):
            start, stop = i * size // new, -(-(i + 1) * size // new)
            parts.append(x.narrow(axis, start, stop - start).mean(dim=axis, keepdim=True))
        x = torch.cat(parts, dim=axis)
    return x


@pytest.mark.parametrize("size", [(4, 8, 8), (1, 3, 5), (9, 4), (1, 1)])
@pytest.mark.parametrize("norm", ["cosine", "softmax", "none"])
@pytest.mark.parametrize("num_scales", [1, 2, 3])
def test_against_loop(size, norm, num_scales):
    generator = torch.Generator().manual_seed(len(size) * num_scales)
    kernel = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    feature_map = torch.randn(2, 6, *size, generator=generator, dtype=torch.float64)
    expected, level = torch.zeros(2, *size, dtype=torch.float64), feature_map
    mode = "trilinear" if len(size) == 3 else "bilinear"
    for scale in range(num_scales):
        if scale:
            level = _slow_pool(level)
        response = _slow_response(kernel, level, norm).unsqueeze(1)
        expected += F.interpolate(response, size=size, mode=mode, align_corners=False).squeeze(1)
    actual = pyramid_correlation(kernel, feature_map, norm, num_scales)
    torch.testing.assert_close(actual, expected / num_scales)


def test_closed_form():
    """A feature equal to, orthogonal to and opposite to the filter: 1, 1/2 and 0."""
    kernel = torch.tensor([[2.0, 0.0]])
    feature_map = torch.tensor([[3.0, 0.0, -5.0], [0.0, 1.0, 0.0]]).view(1, 2, 1, 3)
    response = correlation_response(kernel, feature_map)
    torch.testing.assert_close(response, torch.tensor([[[1.0, 0.5, 0.0]]]))


def test_softmax_has_unit_mass_at_one_scale():
    attention = pyramid_correlation(torch.randn(3, 4), torch.randn(3, 4, 9, 4), "softmax", 1)
    torch.testing.assert_close(attention.flatten(1).sum(dim=1), torch.ones(3))


def test_float32_under_autocast():
    kernel, feature_map = torch.randn(2, 8), torch.randn(2, 8, 4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        attention = pyramid_correlation(kernel, feature_map.bfloat16())
    assert attention.dtype == torch.float32
    expected = pyramid_correlation(kernel, feature_map.bfloat16().float())
    torch.testing.assert_close(attention, expected)


def test_zero_feature_has_finite_gradient():
    feature_map = torch.zeros(1, 4, 2, 2, requires_grad=True)
    pyramid_correlation(torch.randn(1, 4), feature_map).sum().backward()
    assert feature_map.grad.isfinite().all()


@pytest.mark.parametrize(
    ("kwargs", "match"), [(dict(norm="l1"), "'l1'"), (dict(num_scales=0), "num_scales")]
)
def test_neck_refuses(kwargs, match):
    with pytest.raises(ValueError, match=match):
        CMACNeck(**kwargs)
