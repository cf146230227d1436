"""Audio of each kind: a carrier inside its band, shaped by the motion."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .kinds import HIGHEST_HZ, SHAPE_KINDS, band_hz
from .motions import Motion

SAMPLE_RATE = 24_000
# The background is as loud and as coloured as it is so that random filters do not yet tell the
# kinds apart (on a clean sound a probe on an untrained network is never wrong), while a minute
# of training still does.
_NOISE_DB = (-20.0, -10.0)  # its power, relative to the object's
_NOISE_COLOUR_DB = 9.0  # standard deviation of its gains over frequency


class Sound(NamedTuple):
    """Audio of a clip, with the frequency band and the times of the sounding object.

    Args:
        samples (np.ndarray): float32 samples in [-1, 1] at ``SAMPLE_RATE``, shape (N,).
        band_hz (tuple[float, float]): Lower and upper edge of its band in Hz.
        times (tuple | None): Start and end in seconds of the parts in which it sounds. Defaults to
            None: not told.
    """

    samples: np.ndarray
    band_hz: tuple[float, float]
    times: tuple[tuple[float, float], ...] | None = None


def tones(rng: np.random.Generator, low: float, high: float, t: np.ndarray) -> np.ndarray:
    """Synthesise three partials that are no multiples of one another."""
    width = np.log(high / low)
    sound = np.zeros_like(t)
    for place in (0.2, 0.5, 0.8):
        frequency = low * np.exp(width * (place + rng.uniform(-0.08, 0.08)))
        sound += rng.uniform(0.3, 1) * np.sin(2 * np.pi * frequency * t + rng.uniform(0, 6.28))
    return sound


def buzz(rng: np.random.Generator, low: float, high: float, t: np.ndarray) -> np.ndarray:
    """Synthesise all harmonics of a low tone inside the band, in phase: a train of pulses."""
    pitch = rng.uniform(35, 50)
    harmonics = np.arange(np.ceil(1.05 * low / pitch), np.floor(0.95 * high / pitch) + 1)
    return np.cos(2 * np.pi * pitch * np.multiply.outer(harmonics, t)).sum(axis=0)


def noise(rng: np.random.Generator, low: float, high: float, t: np.ndarray) -> np.ndarray:
    """Synthesise noise within the band."""
    frequency = np.fft.rfftfreq(len(t), 1 / SAMPLE_RATE)
    spectrum = np.zeros(len(frequency), dtype=complex)
    inside = (frequency > 1.05 * low) & (frequency < 0.95 * high)
    spectrum[inside] = rng.standard_normal(2 * inside.sum()).view(complex)
    return np.fft.irfft(spectrum, len(t))


def bursts(
    rng: np.random.Generator, times: np.ndarray, decay: float, carrier: np.ndarray
) -> np.ndarray:
    """Synthesise a decaying burst of the carrier at each impact."""
    # an attack of 2 ms, so that the burst's spectrum stays inside the band
    age = np.arange(min(len(carrier), int(8 * decay * SAMPLE_RATE))) / SAMPLE_RATE
    burst = carrier[: len(age)] * np.exp(-age / decay) * np.minimum(age / 0.002, 1)
    sound = np.zeros_like(carrier)
    for time in times:
        start = round(time * SAMPLE_RATE)
        skip, end = max(-start, 0), min(start + len(burst), len(sound))
        if skip < len(burst) and end > start + skip:
            sound[start + skip : end] += rng.uniform(0.8, 1) * burst[skip : end - start]
    return sound


def unit(sound: np.ndarray) -> np.ndarray:
    """Scale to unit power."""
    return sound / np.sqrt(np.mean(sound**2))


# kind -> carrier, decay of an impact in seconds (None: the sound follows the speed alone)
_VOICES: dict[str, tuple[Callable[..., np.ndarray], float | None]] = {
    "ball": (tones, 0.09),
    "heart": (tones, None),
    "gear": (buzz, None),
    "crate": (noise, 0.06),
    "bell": (tones, 0.25),
    "star": (tones, None),
    "hammer": (noise, 0.04),
    "maraca": (noise, None),
}


def synthesise(
    kinds: Sequence[str], motion: Motion, radius: float, num_samples: int, rng: np.random.Generator
) -> Sound:
    """Synthesise the audio of one moving object over a steady background noise.

    Impacts start at the very sample; where there are none, the amplitude follows the speed that
    is seen. Level, pitch, timbre and background are drawn by chance.

    Args:
        kinds (Sequence[str]): Kinds in the picture, of ``SHAPE_KINDS``; the last one sounds.
        motion (Motion): The motion that is seen.
        radius (float): Radius of the object in units of the frame's short side.
        num_samples (int): Length in samples of ``SAMPLE_RATE``.
        rng (np.random.Generator): Source of chance.

    Returns:
        Sound: Samples, and the kind's band.
    """
    kind = kinds[-1]
    low, high = band_hz(kind)
    t = np.arange(num_samples) / SAMPLE_RATE
    duration = num_samples / SAMPLE_RATE
    carrier, decay = _VOICES[kind]

    coarse = np.linspace(0, duration, int(duration * 500))
    speed = motion.speed(coarse, radius)
    envelope = np.interp(t, coarse, speed / speed.max())
    if kind == "star":
        # a voice that sings higher the higher the star stands
        height = -motion.pose(coarse)[:, 1]
        pitch = (low * high) ** 0.5 * (high / low) ** (0.3 * height / np.abs(height).max())
        phase = np.cumsum(np.interp(t, coarse, pitch)) / SAMPLE_RATE
        sound = np.sin(2 * np.pi * phase + rng.uniform(0, 6.28)) * envelope
    elif decay is None:
        sound = carrier(rng, low, high, t) * envelope
    else:
        # bursts that began before the video are still heard
        times = motion.impacts(-8 * decay, duration)
        sound = unit(bursts(rng, times, decay, unit(carrier(rng, low, high, t))))
        if kind == "crate":
            sound += 0.3 * unit(noise(rng, low, high, t) * envelope)
    sound = unit(sound)

    sound += 10 ** (rng.uniform(*_NOISE_DB) / 20) * background(num_samples, rng)
    return Sound(level(sound, rng), (low, high))


def level(sound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scale audio to a random loudness, without clipping; float32."""
    sound = sound * 10 ** (rng.uniform(-26, -14) / 20)
    return (sound * min(1, 0.95 / np.abs(sound).max())).astype(np.float32)


def background(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Synthesise noise of unit power with random gains at the edges of the bands."""
    frequency = np.fft.rfftfreq(num_samples, 1 / SAMPLE_RATE)
    edges = np.log([50.0, *(band_hz(kind)[0] for kind in SHAPE_KINDS), HIGHEST_HZ])
    # on average as loud in each band
    gains = -edges / 2 + _NOISE_COLOUR_DB * np.log(10) / 20 * rng.standard_normal(len(edges))
    colour = np.exp(np.interp(np.log(np.maximum(frequency, 50.0)), edges, gains))
    return unit(
        np.fft.irfft(rng.standard_normal(2 * len(frequency)).view(complex) * colour, num_samples)
    )
