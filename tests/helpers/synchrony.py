"""When flashes and clicks of a video appear in its clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.dataset import Compose

import cmac_mm  # noqa: F401

TICKS = 1000  # pictures and steps of sound a second: one is 1 ms
SAMPLE_RATE = 24000


def moments(path: Path, start: float, duration: float) -> tuple[list[float], list[float]]:
    """When flashes appear and clicks begin between the two times, in seconds of the file."""
    opening = Compose([dict(type="OpenAudioVisual")])
    decode = Compose([dict(type="DecodeAudioVisual", fps=TICKS, sample_rate=SAMPLE_RATE)])
    results = opening(dict(filename=str(path)))
    results.update(clip_start=[start], audio_start=[start])
    results.update(clip_duration=duration, audio_duration=duration)
    results = decode(results)
    bright = np.array([image.mean() > 150 for image in results["imgs"]])
    flashes = np.flatnonzero(bright[1:] & ~bright[:-1]) + 1
    loud = np.abs(results["waveform"][0]) > 0.2
    clicks = np.flatnonzero(loud)
    # Samples closer than 50 ms to the one before belong to the same click.
    clicks = clicks[np.diff(clicks, prepend=-SAMPLE_RATE) > SAMPLE_RATE // 20]
    return list(start + flashes / TICKS), list(start + clicks / SAMPLE_RATE)


def check(path: Path, truth: list[float], start: float, duration: float) -> int:
    flashes, clicks = moments(path, start, duration)
    inside = [time for time in truth if start + 0.02 < time < start + duration - 0.1]
    flashes = [time for time in flashes if time < start + duration - 0.1]
    clicks = [time for time in clicks if start + 0.02 < time < start + duration - 0.1]
    assert len(flashes) == len(clicks) == len(inside), (flashes, clicks, inside)
    for time, flash, click in zip(inside, flashes, clicks, strict=True):
        # WebM and MP4 round to 1 ms, and so does this measurement.
        assert abs(flash - time) <= 2e-3
        assert abs(click - time) <= 2e-3
    return len(inside)
