"""Features on disk are told apart by FRONT_END_VERSION, so it must follow the front end.

Where a test here fails because the same file and config now give other values on purpose, raise
FRONT_END_VERSION in cmac_mm/version.py and write the new values here.
"""

from fractions import Fraction

import av
import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from cmac_mm.version import FRONT_END_VERSION

RATE = 24000


@pytest.fixture
def video(tmp_path):
    """Grey ramps that move, and a rising tone, without loss: 2 s."""
    path = tmp_path / "lossless.mkv"
    with av.open(str(path), "w") as out:
        picture = out.add_stream("ffv1", rate=10)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for k in range(20):
            ramp = (np.arange(64)[None] * 3 + np.arange(48)[:, None] + 5 * k) % 256
            pixels = np.stack([ramp, 255 - ramp, ramp // 2], axis=-1).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 10)
            out.mux(picture.encode(frame))
        time = np.arange(2 * RATE) / RATE
        wave = (8000 * np.sin(2 * np.pi * (300 + 700 * time) * time)).astype(np.int16)
        samples = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        samples.sample_rate = RATE
        out.mux(sound.encode(samples))
        for stream in (picture, sound):
            out.mux(stream.encode(None))
    return path


PICTURES = [
    116.8,
    126.8,
    135.6,
    125.7,
    57.7,
    62.7,
    151.8,
    166.8,
    100.6,
    85.6,
    75.2,
    82.6,
    179.4,
    176.2,
    73.0,
    76.1,
    88.8,
    87.4,
]
SOUNDS = {
    "LogMelSpectrogram": [
        -54.32,
        -15.14,
        -47.47,
        -65.39,
        -64.6,
        -63.62,
        -74.69,
        -71.55,
        -53.8,
        -29.19,
        -68.26,
        -65.7,
        -72.16,
        -71.15,
        -69.89,
        -56.55,
        -55.9,
        -62.6,
    ],
    "AVIDSpectrogram": [
        -55.44,
        -61.9,
        -63.32,
        -63.8,
        -64.08,
        -64.2,
        -64.31,
        -27.37,
        -64.61,
        -64.76,
        -65.05,
        -65.05,
        -61.47,
        -59.1,
        -61.48,
        -62.46,
        -62.68,
        -63.15,
    ],
}


@pytest.mark.parametrize("front_end", ["LogMelSpectrogram", "AVIDSpectrogram"])
def test_values_of_this_version(video, front_end):
    init_default_scope("mmaction")
    pipeline = Compose(
        [
            dict(type="OpenAudioVisual"),
            dict(type="SampleClips", duration=0.5, num_clips=3, mode="uniform"),
            dict(type="DecodeAudioVisual", fps=8, short_side=36),
            dict(type="CenterCrop", crop_size=32),
            dict(type=front_end),
            dict(type="PackAudioVisual"),
        ]
    )
    inputs = pipeline(dict(filename=str(video), sample_idx=0))["inputs"]
    assert FRONT_END_VERSION == 2
    # To what FFmpeg's versions may differ in: a grey level, a tenth of a decibel.
    pictures = inputs["imgs"].float().mean(dim=(3, 4))[:, :, ::2].flatten()
    np.testing.assert_allclose(pictures, PICTURES, atol=1)
    bands = inputs["audio"].flatten(2).unflatten(2, inputs["audio"].shape[2:])
    bands = bands.mean(dim=3)[:, 0]
    found = bands[:, :: bands.shape[1] // 6][:, :6].flatten()
    np.testing.assert_allclose(found, SOUNDS[front_end], atol=0.1)
