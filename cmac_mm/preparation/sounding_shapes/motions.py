"""Motion of each kind: pose over time, and times of impacts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Motion:
    """Periodic motion about an anchor.

    Lengths are in units of the frame's short side, y points down, angles are clockwise radians.

    Args:
        pose (Callable): Maps times in seconds (N,) to (N, 4): x, y, angle, scale.
        impact_period (float | None): Seconds between two impacts; None if there are none.
        impact_start (float): Time of any one of the impacts in seconds. Defaults to 0.
    """

    pose: Callable[[np.ndarray], np.ndarray]
    impact_period: float | None = None
    impact_start: float = 0.0

    def impacts(self, start: float, stop: float) -> np.ndarray:
        """Compute the times of all impacts in [start, stop), in seconds."""
        if self.impact_period is None:
            return np.zeros(0)
        first = np.ceil((start - self.impact_start) / self.impact_period)
        last = np.ceil((stop - self.impact_start) / self.impact_period)
        return self.impact_start + self.impact_period * np.arange(first, last)

    def speed(self, t: np.ndarray, radius: float) -> np.ndarray:
        """Compute the visible speed of the object: its centre, its rotation and its growth.

        Args:
            t (np.ndarray): Evenly spaced times in seconds, shape (N,).
            radius (float): Radius of the object in short sides.

        Returns:
            np.ndarray: Short sides per second, shape (N,).
        """
        rate = np.gradient(self.pose(t), t, axis=0) * [1.0, 1.0, radius, radius]
        return np.sqrt((rate**2).sum(axis=1))


def _stack(
    x: np.ndarray | float = 0.0,
    y: np.ndarray | float = 0.0,
    angle: np.ndarray | float = 0.0,
    scale: np.ndarray | float = 1.0,
) -> np.ndarray:
    return np.stack(np.broadcast_arrays(x, y, angle, scale), axis=-1)


def _bounce(rng: np.random.Generator, radius: float) -> Motion:
    period, height, start = rng.uniform(0.45, 0.7), rng.uniform(0.3, 0.5), rng.uniform(0, 1)

    def pose(t: np.ndarray) -> np.ndarray:
        u = (t - start) / period % 1
        return _stack(y=-4 * height * u * (1 - u))

    return Motion(pose, period, start)


def _pulsate(rng: np.random.Generator, radius: float) -> Motion:
    rate, phase = rng.uniform(1.2, 2.0), rng.uniform(0, 2 * np.pi)
    return Motion(lambda t: _stack(scale=1 + 0.35 * np.sin(2 * np.pi * rate * t + phase)))


def _spin(rng: np.random.Generator, radius: float) -> Motion:
    turns = rng.uniform(0.7, 1.1) * rng.choice([-1, 1])
    swell, phase, start = rng.uniform(1.2, 2.0), *rng.uniform(0, 2 * np.pi, 2)

    def pose(t: np.ndarray) -> np.ndarray:
        # the turning rate itself swells and fades: turns * (1 + 0.7 sin)
        eased = t - 0.7 * np.cos(2 * np.pi * swell * t + phase) / (2 * np.pi * swell)
        return _stack(angle=start + 2 * np.pi * turns * eased)

    return Motion(pose)


def _slide(rng: np.random.Generator, radius: float) -> Motion:
    half_way, reach, start = rng.uniform(0.35, 0.55), rng.uniform(0.18, 0.28), rng.uniform(0, 1)

    def pose(t: np.ndarray) -> np.ndarray:
        u = (t - start) / (2 * half_way) % 1
        return _stack(x=reach * (1 - 4 * np.abs(u - 0.5)))

    return Motion(pose, half_way, start)


def _swing(rng: np.random.Generator, radius: float) -> Motion:
    period, widest, start = rng.uniform(0.75, 1.1), rng.uniform(0.7, 1.0), rng.uniform(0, 1)
    length = rng.uniform(0.3, 0.4)

    def pose(t: np.ndarray) -> np.ndarray:
        angle = widest * np.cos(2 * np.pi * (t - start) / period)
        return _stack(x=-length * np.sin(angle), y=length * np.cos(angle), angle=angle)

    return Motion(pose, period / 2, start)


def _orbit(rng: np.random.Generator, radius: float) -> Motion:
    rate, phase = rng.uniform(0.9, 1.4) * rng.choice([-1, 1]), rng.uniform(0, 2 * np.pi)
    wide, high = rng.uniform(0.2, 0.28), rng.uniform(0.14, 0.2)

    def pose(t: np.ndarray) -> np.ndarray:
        turn = 2 * np.pi * rate * t + phase
        return _stack(x=wide * np.cos(turn), y=high * np.sin(turn))

    return Motion(pose)


def _strike(rng: np.random.Generator, radius: float) -> Motion:
    period, start, side = rng.uniform(0.5, 0.75), rng.uniform(0, 1), rng.choice([-1, 1])
    raised = rng.uniform(1.3, 1.7)

    def pose(t: np.ndarray) -> np.ndarray:
        u = (t - start) / period % 1
        # slowly up during 70 % of the period, then down ever faster until the impact
        up = np.sin(np.pi / 2 * np.minimum(u / 0.7, 1)) ** 2
        down = 1 - np.clip((u - 0.7) / 0.3, 0, 1) ** 2
        angle = side * (raised * up * down - 0.5)
        # the hammer turns about the end of its handle
        return _stack(x=radius * np.sin(angle), y=-radius * np.cos(angle), angle=angle)

    return Motion(pose, period, start)


def _shake(rng: np.random.Generator, radius: float) -> Motion:
    rate, phase, reach = rng.uniform(2.2, 3.2), rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.16)
    tilt = rng.uniform(0, 2 * np.pi)

    def pose(t: np.ndarray) -> np.ndarray:
        swing = np.sin(2 * np.pi * rate * t + phase)
        # along the handle, as one shakes a maraca
        return _stack(x=-reach * np.sin(tilt) * swing, y=reach * np.cos(tilt) * swing, angle=tilt)

    return Motion(pose)


def _swim(rng: np.random.Generator, radius: float) -> Motion:
    rate, phase = rng.uniform(0.8, 1.2) * rng.choice([-1, 1]), rng.uniform(0, 2 * np.pi)
    wide, high = rng.uniform(0.2, 0.28), rng.uniform(0.1, 0.15)

    def pose(t: np.ndarray) -> np.ndarray:
        turn = 2 * np.pi * rate * t + phase
        # a lying eight
        return _stack(x=wide * np.cos(turn), y=high * np.sin(2 * turn), angle=0.4 * np.sin(turn))

    return Motion(pose)


def _tick(rng: np.random.Generator, radius: float) -> Motion:
    period, start = rng.uniform(0.28, 0.42), rng.uniform(0, 1)
    step, first = rng.uniform(0.9, 1.3) * rng.choice([-1, 1]), rng.uniform(0, 2 * np.pi)

    def pose(t: np.ndarray) -> np.ndarray:
        u = (t - start) / period
        # a step of 60 ms, then a rest
        moved = np.minimum(u % 1 * period / 0.06, 1)
        return _stack(angle=first + step * (np.floor(u) + moved))

    return Motion(pose, period, start)


def _hop(rng: np.random.Generator, radius: float) -> Motion:
    period, start = rng.uniform(0.5, 0.75), rng.uniform(0, 1)
    height, reach = rng.uniform(0.2, 0.3), rng.uniform(0.14, 0.22)

    def pose(t: np.ndarray) -> np.ndarray:
        u = (t - start) / period
        # it lands at whole numbers, sits for a third of the time, leaps to the other side
        leap = np.clip((u % 1 - 0.33) / 0.67, 0, 1)
        side = np.where(np.floor(u) % 2, 1, -1)
        return _stack(x=reach * side * (1 - 2 * leap), y=-4 * height * leap * (1 - leap))

    return Motion(pose, period, start)


def _throb(rng: np.random.Generator, radius: float) -> Motion:
    period, start, fade = rng.uniform(0.4, 0.65), rng.uniform(0, 1), rng.uniform(0.12, 0.18)

    def pose(t: np.ndarray) -> np.ndarray:
        age = (t - start) / period % 1 * period
        # it springs to its largest with each beat, and shrinks again
        return _stack(scale=0.7 + 0.65 * np.minimum(age / 0.03, 1) * np.exp(-age / fade))

    return Motion(pose, period, start)


def _rock(rng: np.random.Generator, radius: float) -> Motion:
    rate, phase, widest = rng.uniform(1.2, 1.8), rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.3)

    def pose(t: np.ndarray) -> np.ndarray:
        angle = widest * np.sin(2 * np.pi * rate * t + phase)
        # as on rockers: it rolls along the ground
        return _stack(x=0.8 * radius * angle, angle=angle)

    return Motion(pose)


def _dart(rng: np.random.Generator, radius: float) -> Motion:
    period, start, reach = rng.uniform(0.6, 0.9), rng.uniform(0, 1), rng.uniform(0.2, 0.28)
    tilt = rng.uniform(0, 2 * np.pi)

    def pose(t: np.ndarray) -> np.ndarray:
        u = (t - start) / period % 1
        # forward within a quarter of the time, back in the rest
        along = reach * np.where(
            u < 0.25, -np.cos(4 * np.pi * u), np.cos(np.pi * (u - 0.25) / 0.75)
        )
        return _stack(x=along * np.cos(tilt), y=along * np.sin(tilt), angle=tilt)

    return Motion(pose, period, start)


def _pump(rng: np.random.Generator, radius: float) -> Motion:
    period, start, reach = rng.uniform(0.4, 0.6), rng.uniform(0, 1), rng.uniform(0.14, 0.2)

    def pose(t: np.ndarray) -> np.ndarray:
        u = (t - start) / period
        # it rests at an end, and hits the other one at whole numbers
        stroke = np.clip((u % 1 - 0.65) / 0.35, 0, 1) ** 2
        return _stack(y=reach * np.where(np.floor(u) % 2, 1, -1) * (1 - 2 * stroke))

    return Motion(pose, period, start)


def _circle(rng: np.random.Generator, radius: float) -> Motion:
    turns, phase = rng.uniform(1.0, 1.5) * rng.choice([-1, 1]), rng.uniform(0, 2 * np.pi)
    swell, start = rng.uniform(0.5, 0.8), rng.uniform(0, 2 * np.pi)

    def pose(t: np.ndarray) -> np.ndarray:
        turn = 2 * np.pi * turns * t + phase
        # the circle widens and narrows
        reach = 0.17 + 0.09 * np.sin(2 * np.pi * swell * t + start)
        return _stack(x=reach * np.cos(turn), y=reach * np.sin(turn), angle=turn)

    return Motion(pose)


_MOTIONS: dict[str, Callable[[np.random.Generator, float], Motion]] = {
    "ball": _bounce,
    "heart": _pulsate,
    "gear": _spin,
    "crate": _slide,
    "bell": _swing,
    "star": _orbit,
    "hammer": _strike,
    "maraca": _shake,
    "fish": _swim,
    "clock": _tick,
    "frog": _hop,
    "drum": _throb,
    "moon": _rock,
    "arrow": _dart,
    "pump": _pump,
    "kite": _circle,
}


def draw_motion(kind: str, radius: float, rng: np.random.Generator) -> Motion:
    """Draw the motion of one object: the form by kind; tempo, reach and phase at random.

    Args:
        kind (str): One of ``HARD_KINDS``.
        radius (float): Radius of the object in units of the frame's short side.
        rng (np.random.Generator): Source of chance.

    Returns:
        Motion: The motion; something clearly moves within any one second.
    """
    return _MOTIONS[kind](rng, radius)
