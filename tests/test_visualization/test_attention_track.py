"""Attention over time beside a loop over all maps."""

from itertools import pairwise

import numpy as np
import pytest

from cmac_mm.features import VideoResult
from cmac_mm.visualization.attention_track import AttentionTrack


def make(maps, stride=0.5, seconds=1.0, modality="visual", kind="guided"):
    return VideoResult(
        "a.mp4",
        "model",
        duration=stride * len(maps) + seconds,
        starts=stride * np.arange(len(maps)),
        clip_seconds={modality: seconds},
        fields={f"{kind}_{modality}_attention": maps.astype(np.float32)},
    )


def slow(result, maps, time):
    """The mean of all maps, each with a weight that falls to 0 at one and a half steps."""
    seconds, steps = result.clip_seconds["visual"], maps.shape[1]
    found = sorted(
        (start + (j + 0.5) * seconds / steps, i, j)
        for i, start in enumerate(result.starts)
        for j in range(steps)
    )
    times = [t for t, _, _ in found]
    reach = 1.5 * max(b - a for a, b in pairwise(times))
    time = min(max(time, times[0]), times[-1])
    total, mean = 0.0, np.zeros(maps.shape[2:])
    for t, i, j in found:
        weight = max(0.0, 1 - abs(t - time) / reach)
        total += weight
        mean += weight * maps[i, j]
    return mean / total


@pytest.mark.parametrize("stride", [0.3, 0.5, 1.0, 2.0])
def test_equals_slow_loop_and_has_no_steps(stride):
    maps = np.random.default_rng(0).random((5, 3, 4, 6))
    result = make(maps, stride)
    track = AttentionTrack(result, "guided", "visual")
    for time in (-1, 0, 0.1, 0.77, 1.5, 2.2, 99):
        np.testing.assert_allclose(track.at(time), slow(result, maps, time), atol=1e-6)
    course = np.stack([track.at(t) for t in np.arange(0, 3, 1e-3)])
    assert np.abs(np.diff(course, axis=0)).max() < 0.03


def test_constant_attention_stays_and_has_no_heat():
    track = AttentionTrack(make(np.full((4, 2, 3, 3), 0.7)), "guided", "visual")
    np.testing.assert_allclose(track.at(1.23), 0.7, rtol=1e-6)
    assert track.heat(track.at(1.23), (12, 16)).max() < 1e-6


def test_heat_of_pictures():
    maps = np.full((6, 2, 5, 5), 0.4)
    maps[..., 1, 3] = 0.5
    maps[3:, ..., 1, 3] = 0.402  # hardly stands out
    track = AttentionTrack(make(maps, stride=1.0), "guided", "visual")
    heat = track.heat(track.at(0.5), (50, 50))
    assert heat.shape == (50, 50) and heat.min() == 0
    assert np.unravel_index(heat.argmax(), heat.shape)[0] in range(10, 20)
    assert heat[14:16, 34:36].min() > 0.9 and heat[40, 10] < 0.05
    assert heat.max() <= 1
    assert track.heat(track.at(5.5), (50, 50)).max() == pytest.approx(0.08, abs=0.03)
    # Smooth in space: no step between neighbouring pixels.
    assert max(np.abs(np.diff(heat, axis=axis)).max() for axis in (0, 1)) < 0.2


def test_sound_map():
    maps = np.zeros((4, 5, 2))  # frequency before time
    maps[2, 3, :] = 1.0
    track = AttentionTrack(make(maps, stride=1.0, modality="audio"), "guided", "audio")
    found = track.sound_map(0.0, 4.0, 400)
    assert found.shape == (5, 400)
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert row == 3 and 200 <= column < 300
    assert not found[[0, 1, 2, 4]].any()


def test_a_single_map():
    maps = np.random.default_rng(0).random((1, 1, 2, 2))
    track = AttentionTrack(make(maps), "guided", "visual")
    np.testing.assert_allclose(track.at(3.0), maps[0, 0], rtol=1e-6)


def test_absent_attention_is_named():
    result = make(np.zeros((1, 1, 2, 2)))
    with pytest.raises(KeyError, match="gave no 'predicted_visual_attention'"):
        AttentionTrack(result, "predicted", "visual")
