"""GDT's filter banks against a loop over windows and filters."""

import cmath
import math
from itertools import pairwise

import numpy as np
import pytest

from cmac_mm.datasets import GDTSpectrogram

RATE = 24000


def banks(waveform, **kwargs):
    transform = GDTSpectrogram(**kwargs)
    return transform(dict(waveform=waveform, sample_rate=transform.sample_rate))["audios"].numpy()


def slow_banks(sound, num_mels, rate):
    """One clip, window by window; the transform is numpy's."""
    whole = [max(-32768, min(32767, round(float(x) * 32768))) for x in sound]
    emphasised = [whole[0]] + [b - 0.97 * a for a, b in pairwise(whole)]
    window, hop = round(0.02 * rate), round(0.01 * rate)
    frames = 1 if len(whole) <= window else 1 + math.ceil((len(whole) - window) / hop)
    top = 2595 * math.log10(1 + rate / 2 / 700)
    corners = []
    for number in range(num_mels + 2):
        hertz = 700 * (10 ** (top * number / (num_mels + 1) / 2595) - 1)
        corners.append(math.floor(1025 * hertz / rate))
    out = np.zeros((num_mels, frames))
    for frame in range(frames):
        part = emphasised[frame * hop : frame * hop + window]
        power = [abs(value) ** 2 / 1024 for value in np.fft.rfft(part, 1024)]
        for band in range(num_mels):
            low, peak, high = corners[band : band + 3]
            energy = sum(power[k] * (k - low) / (peak - low) for k in range(low, peak))
            energy += sum(power[k] * (high - k) / (high - peak) for k in range(peak, high))
            out[band, frame] = (math.log(energy or 2.220446049250313e-16) - 1.93) / 17.89
    return out


@pytest.mark.parametrize("num_mels", [40, 257])
@pytest.mark.parametrize("samples", [1, 300, 480, 481, 2000])
def test_against_a_loop(samples, num_mels):
    rng = np.random.default_rng(samples)
    waveform = (rng.standard_normal((2, samples)) * [[0.3], [1.5]]).astype(np.float32)
    got = banks(waveform, num_mels=num_mels)
    for clip, sound in zip(got[:, 0], waveform, strict=True):
        np.testing.assert_allclose(clip, slow_banks(sound, num_mels, RATE), rtol=2e-6, atol=2e-6)


def test_the_loop_itself_knows_the_transform():
    part = np.random.default_rng(0).standard_normal(480)
    value = sum(x * cmath.exp(-2j * math.pi * 5 * n / 1024) for n, x in enumerate(part))
    assert abs(value - np.fft.rfft(part, 1024)[5]) < 1e-9


def test_a_second_has_99_frames_and_38_empty_filters_of_257():
    waveform = np.random.default_rng(1).uniform(-1, 1, (1, RATE)).astype(np.float32)
    got = banks(waveform)
    assert got.shape == (1, 1, 257, 99)
    empty = (math.log(np.finfo(float).eps) - 1.93) / 17.89
    assert int((np.abs(got[0, 0] - empty) < 1e-6).all(axis=1).sum()) == 38
    assert banks(np.tile(waveform, 2)).shape[-1] == 199


def test_silence_has_a_finite_logarithm():
    got = banks(np.zeros((1, RATE), np.float32))
    assert (got == np.float32((math.log(np.finfo(float).eps) - 1.93) / 17.89)).all()


def test_a_click_that_16_bits_do_not_hold_is_silence():
    quiet = np.full((1, 960), 1e-5, np.float32)
    assert (banks(quiet) == banks(np.zeros((1, 960), np.float32))).all()


def test_what_it_refuses():
    with pytest.raises(ValueError, match="must be positive, got 0"):
        GDTSpectrogram(num_mels=0)
    with pytest.raises(ValueError, match="sample_rate must be from 50 to 51200"):
        GDTSpectrogram(sample_rate=96000)
    with pytest.raises(ValueError, match="24000 Hz, the sound of None has 8000"):
        GDTSpectrogram()(dict(waveform=np.zeros((1, 9), np.float32), sample_rate=8000))
    with pytest.raises(ValueError, match="is empty"):
        banks(np.zeros((1, 0), np.float32))
