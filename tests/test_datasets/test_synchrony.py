"""A flash and a click at one moment stay at one moment, in all containers and frame rates."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from helpers.media_tools import write_video
from helpers.synchrony import check
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

import cmac_mm  # noqa: F401

NTSC = Fraction(30000, 1001)
SECONDS = 5.0


@pytest.fixture(autouse=True)
def _mmaction_scope():
    with DefaultScope.overwrite_default_scope("mmaction"):
        yield


@pytest.mark.parametrize("fps", [15, 25, NTSC, 60], ids=str)
@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".webm", ".ts"])
@pytest.mark.parametrize("start", [0.0, 1.4])
def test_flash_and_click(tmp_path, suffix, fps, start):
    if suffix == ".avi" and start:
        pytest.skip("AVI has no time stamps, so no start other than 0")
    path = tmp_path / f"sync{suffix}"
    frames = [int(second * fps) for second in (0.6, 1.5, 2.2, 3.1, 4.4)]
    truth = write_video(path, fps, SECONDS, start, flashes=tuple(frames), gop=40)
    assert check(path, truth, 0.0, SECONDS) == 5
    for clip_start in np.random.default_rng(0).uniform(0.3, 3.9, 3):
        check(path, truth, clip_start, 1.0)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
@pytest.mark.parametrize("audio_start", [0.0, 1.0])
def test_sound_that_starts_earlier_or_later(tmp_path, suffix, audio_start):
    path = tmp_path / f"sync{suffix}"
    fps = Fraction(25)
    truth = write_video(path, fps, SECONDS, 0.4, audio_start, flashes=(20, 45, 70, 100), gop=40)
    assert check(path, truth, 0.0, SECONDS) == 4
    check(path, truth, 1.55, 1.0)


def test_both_start_together_by_default_and_apart_on_request(tmp_path):
    path = tmp_path / "offset.mp4"
    write_video(path, 25, SECONDS)
    sample = Compose(
        [
            dict(type="OpenAudioVisual"),
            dict(
                type="SampleClips",
                duration=0.5,
                num_clips=50,
                audio_duration=2.0,
                visual_offset=(-0.5, 2.0),
            ),
        ]
    )
    np.random.seed(0)
    results = sample(dict(filename=str(path)))
    results["media"].close()
    sound, clip = np.array(results["audio_start"]), np.array(results["clip_start"])
    assert sound.min() >= 0
    assert sound.max() <= SECONDS - 2 + 0.1
    assert clip.min() >= 0
    assert clip.max() <= SECONDS - 0.5 + 0.1
    offset = clip - sound
    assert -0.5 <= offset.min() < -0.2
    assert 1.5 < offset.max() <= 2.0
