"""Audio of the hard level: rhythm and timbre tell the kinds apart, not the band."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .kinds import HARD_KINDS
from .motions import Motion, draw_motion
from .sounds import SAMPLE_RATE, Sound, background, bursts, buzz, level, noise, tones, unit

_LOWEST_HZ = (220.0, 3_400.0)  # range of a band's lower edge
_BAND_RATIO = 2.0
_NOISE_DB = (-20.0, -10.0)  # power of the background, relative to the object's
_OFF_SCREEN_DB = (-20.0, -10.0)
_MAX_OFF_SCREEN = 2
_HOP = 0.01  # seconds; step in which times of sounding are told


@dataclass(frozen=True)
class _Player:
    """One object that sounds, and what voices are made of.

    Attributes:
        rng (np.random.Generator): Source of chance.
        motion (Motion): The motion that is seen.
        radius (float): Radius of the object in units of the frame's short side.
        low (float): Lower edge of its band in Hz.
        high (float): Upper edge.
        t (np.ndarray): Time of each sample in seconds, shape (N,).
    """

    rng: np.random.Generator
    motion: Motion
    radius: float
    low: float
    high: float
    t: np.ndarray

    @cached_property
    def speed(self) -> np.ndarray:
        """Speed at each sample, at most 1."""
        coarse = np.arange(0, self.t[-1] + 0.004, 0.002)
        speed = self.motion.speed(coarse, self.radius)
        return np.interp(self.t, coarse, speed / speed.max())

    def hits(self, carrier: np.ndarray, decay: float, step: int = 1, first: int = 0) -> np.ndarray:
        """Bursts at each ``step``-th impact, those before the video included."""
        times = self.motion.impacts(-8 * decay, self.t[-1])
        return bursts(self.rng, times[first::step], decay, unit(carrier))

    def glide(self, place: float | np.ndarray) -> np.ndarray:
        """A tone whose place in the band, from 0 to 1, may change with time."""
        pitch = self.low * (self.high / self.low) ** (
            0.1 + 0.8 * np.broadcast_to(place, self.t.shape)
        )
        return np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE + self.rng.uniform(0, 6.28))

    def rough(self, place: float, rate: float) -> np.ndarray:
        """A tone that is interrupted at a rate in Hz."""
        return self.glide(place) * np.clip(2 * np.sin(2 * np.pi * rate * self.t), 0, 1)

    def tones(self) -> np.ndarray:
        """Three partials."""
        return tones(self.rng, self.low, self.high, self.t)

    def noise(self) -> np.ndarray:
        """Noise that fills the band."""
        return noise(self.rng, self.low, self.high, self.t)


def _ball(p: _Player) -> np.ndarray:
    return p.hits(p.tones(), 0.08)


def _heart(p: _Player) -> np.ndarray:
    # a voice with vibrato
    return p.glide(0.5 + 0.25 * np.sin(2 * np.pi * p.rng.uniform(5, 7) * p.t)) * p.speed


def _gear(p: _Player) -> np.ndarray:
    return buzz(p.rng, p.low, p.high, p.t) * p.speed


def _crate(p: _Player) -> np.ndarray:
    # it scrapes between the knocks
    return unit(p.hits(p.noise(), 0.06)) + 0.6 * unit(p.noise() * p.speed)


def _bell(p: _Player) -> np.ndarray:
    return p.hits(p.tones(), 0.3)


def _star(p: _Player) -> np.ndarray:
    # the higher it stands the higher it sings
    height = -p.motion.pose(p.t)[:, 1]
    return p.glide(0.5 + 0.45 * height / np.abs(height).max()) * p.speed


def _hammer(p: _Player) -> np.ndarray:
    # each blow with an echo
    carrier = unit(p.noise())
    times = p.motion.impacts(-0.5, p.t[-1])
    return bursts(p.rng, np.sort([*times, *(times + 0.09)]), 0.02, carrier)


def _maraca(p: _Player) -> np.ndarray:
    return p.noise() * p.speed**2


def _fish(p: _Player) -> np.ndarray:
    # a trill of two tones
    return p.glide(0.5 + 0.4 * np.sign(np.sin(2 * np.pi * p.rng.uniform(9, 12) * p.t))) * p.speed


def _clock(p: _Player) -> np.ndarray:
    # tick, tock
    return p.hits(p.glide(0.9), 0.02, 2) + p.hits(p.glide(0.2), 0.02, 2, 1)


def _frog(p: _Player) -> np.ndarray:
    return p.hits(p.rough(p.rng.uniform(0.3, 0.7), p.rng.uniform(26, 34)), 0.14)


def _drum(p: _Player) -> np.ndarray:
    # it falls from the top of the band to its bottom
    return p.hits(p.glide(np.exp(-p.t / 0.05)), 0.12)


def _moon(p: _Player) -> np.ndarray:
    # hollow: two voices a little apart, which beat
    rate = p.rng.uniform(10, 14)
    return p.glide(0.3) * np.cos(np.pi * rate * p.t) * p.speed


def _arrow(p: _Player) -> np.ndarray:
    # a rising whistle with each dart
    return p.hits(p.glide(np.minimum(p.t / 0.22, 1)), 0.2)


def _pump(p: _Player) -> np.ndarray:
    # it hisses up to the blow
    until = p.t[-1] - p.motion.impacts(0, p.t[-1] + 1)
    return bursts(p.rng, until, 0.12, unit(p.noise()))[::-1]


def _kite(p: _Player) -> np.ndarray:
    # a rattle: the faster it flies the faster it clacks
    turns = np.cumsum(10 + 12 * p.speed) / SAMPLE_RATE
    age = turns % 1
    return p.tones() * np.minimum(age / 0.05, 1) * np.exp(-8 * age) * p.speed


_VOICES: dict[str, Callable[[_Player], np.ndarray]] = {
    "ball": _ball,
    "heart": _heart,
    "gear": _gear,
    "crate": _crate,
    "bell": _bell,
    "star": _star,
    "hammer": _hammer,
    "maraca": _maraca,
    "fish": _fish,
    "clock": _clock,
    "frog": _frog,
    "drum": _drum,
    "moon": _moon,
    "arrow": _arrow,
    "pump": _pump,
    "kite": _kite,
}


def synthesise_hard(
    kinds: Sequence[str], motion: Motion, radius: float, num_samples: int, rng: np.random.Generator
) -> Sound:
    """Synthesise the audio of a moving object, of absent objects, and of the background.

    Each has the voice of its kind, in a band that is drawn by chance; the object in the picture is
    the loudest.

    Args:
        kinds (Sequence[str]): Kinds in the picture, of ``HARD_KINDS``; the last one sounds.
        motion (Motion): Its motion.
        radius (float): Its radius in units of the frame's short side.
        num_samples (int): Length in samples of ``SAMPLE_RATE``.
        rng (np.random.Generator): Source of chance.

    Returns:
        Sound: Samples, the band of the object in the picture, and when it sounds.
    """
    sound, band = play(kinds[-1], motion, radius, num_samples, rng)
    times = _times(sound)
    absent = [kind for kind in HARD_KINDS if kind not in kinds]
    for kind in rng.choice(absent, rng.integers(1, _MAX_OFF_SCREEN + 1), replace=False):
        unseen = draw_motion(kind, radius, rng)
        other, _ = play(kind, unseen, radius, num_samples, rng)
        sound = sound + 10 ** (rng.uniform(*_OFF_SCREEN_DB) / 20) * other
    sound += 10 ** (rng.uniform(*_NOISE_DB) / 20) * background(num_samples, rng)
    return Sound(level(sound, rng), band, times)


def play(
    kind: str, motion: Motion, radius: float, num_samples: int, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[float, float]]:
    """Synthesise one object alone at unit power; return its band in Hz as well.

    Args:
        kind (str): One of ``HARD_KINDS``.
        motion (Motion): Its motion.
        radius (float): Its radius in units of the frame's short side.
        num_samples (int): Length in samples of ``SAMPLE_RATE``.
        rng (np.random.Generator): Source of chance.
    """
    low = np.exp(rng.uniform(*np.log(_LOWEST_HZ)))
    high = _BAND_RATIO * low
    t = np.arange(num_samples) / SAMPLE_RATE
    return unit(_VOICES[kind](_Player(rng, motion, radius, low, high, t))), (low, high)


def _times(sound: np.ndarray) -> tuple[tuple[float, float], ...]:
    """Start and end in seconds of the parts in which a sound is at least a tenth of its loudest."""
    hop = round(_HOP * SAMPLE_RATE)
    power = np.add.reduceat(sound**2, np.arange(0, len(sound), hop))
    heard = np.concatenate([[False], power > 0.01 * power.max(), [False]])
    edges = np.flatnonzero(np.diff(heard)) * _HOP
    end = len(sound) / SAMPLE_RATE
    return tuple((start, min(stop, end)) for start, stop in edges.reshape(-1, 2).tolist())
