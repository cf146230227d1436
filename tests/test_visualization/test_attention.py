import numpy as np
import pytest
import torch
from matplotlib import colormaps

from cmac_mm.visualization import overlay_attention, resize_attention


def slow_resize(attention, height, width):
    """Bilinear weights by hand; beyond the outer cells' centres the map goes on as it is."""
    rows, columns = attention.shape
    result = np.zeros((height, width))
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * rows / height - 0.5, 0), rows - 1)
            x = min(max((j + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            dy, dx = y - top, x - left
            result[i, j] = (
                attention[top, left] * (1 - dy) * (1 - dx)
                + attention[top, right] * (1 - dy) * dx
                + attention[bottom, left] * dy * (1 - dx)
                + attention[bottom, right] * dy * dx
            )
    return result


@pytest.mark.parametrize(
    ("cells", "size"), [((1, 1), (5, 4)), ((2, 3), (9, 8)), ((4, 4), (16, 12))]
)
def test_resize_equals_slow_loop(cells, size):
    attention = torch.rand(cells, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(
        resize_attention(attention, size).numpy(), slow_resize(attention.numpy(), *size), atol=1e-6
    )


def test_overlay_is_hot_at_the_maximum_only():
    frame = np.full((44, 66, 3), 100, np.uint8)
    attention = torch.full((4, 6), 0.50)
    attention[1, 4] = 0.51  # a weak map is stretched
    picture = overlay_attention(frame, attention, strength=1.0)
    assert picture.shape == frame.shape
    assert picture.dtype == np.uint8
    hottest = np.array(colormaps["inferno"](1.0)[:3]) * 255
    assert np.abs(picture[16, 49] - hottest).max() <= 0.5
    cold = picture.copy()
    cold[5:28, 38:61] = picture[0, 0]
    assert (cold == picture[0, 0]).all()


def test_constant_attention_shows_no_heat():
    frame = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    first = overlay_attention(frame, torch.full((2, 2), 0.3))
    assert (first == overlay_attention(frame, torch.full((3, 1), 0.9), strength=0.1)).all()
    assert np.corrcoef(first.ravel(), frame.ravel())[0, 1] > 0.8  # the scene is still seen


def test_bad_input_is_refused():
    frame = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match=r"frame: expected \(H, W, 3\) uint8"):
        overlay_attention(frame.astype(float), torch.rand(2, 2))
    with pytest.raises(ValueError, match=r"\(H', W'\), got shape \(1, 2, 2\)"):
        overlay_attention(frame, torch.rand(1, 2, 2))
    with pytest.raises(ValueError, match="4 values that are not finite"):
        overlay_attention(frame, torch.full((2, 2), torch.nan))
