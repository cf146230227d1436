"""Appearance of each kind (outline and pattern), and textured backgrounds."""

import colorsys
from collections.abc import Callable

import cv2
import numpy as np

from .kinds import HARD_KINDS, SHAPE_KINDS

# Objects are drawn large, within a circle of radius 1, and shrunk: that gives smooth edges.
_CANVAS = 128
_UNIT = _CANVAS / 2 - 2
_DARK = (38, 34, 44)
_LIGHT = (245, 242, 232)

Colour = tuple[int, ...]


def _points(xy: np.ndarray | list[tuple[float, float]]) -> np.ndarray:
    return np.round(np.asarray(xy) * _UNIT + _CANVAS / 2).astype(np.int32)


def _polygon(image: np.ndarray, xy: np.ndarray | list[tuple[float, float]], colour: Colour) -> None:
    cv2.fillPoly(image, [_points(xy)], colour)


def _disc(image: np.ndarray, x: float, y: float, radius: float, colour: Colour) -> None:
    (centre,) = _points([(x, y)])
    cv2.circle(image, centre.tolist(), round(radius * _UNIT), colour, -1)


def _arc(start: float, stop: float, radius: float = 1.0, count: int = 40) -> np.ndarray:
    angle = np.linspace(start, stop, count)
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _ball(image: np.ndarray, colour: Colour) -> None:
    """A beach ball: six sectors."""
    for i in range(6):
        sector = np.concatenate([[(0, 0)], _arc(i * np.pi / 3, (i + 1) * np.pi / 3)])
        _polygon(image, sector, colour if i % 2 else _LIGHT)


def _heart(image: np.ndarray, colour: Colour) -> None:
    """A plain heart with a bright spot."""
    a = np.linspace(0, 2 * np.pi, 80)
    y = 13 * np.cos(a) - 5 * np.cos(2 * a) - 2 * np.cos(3 * a) - np.cos(4 * a)
    _polygon(image, np.stack([16 * np.sin(a) ** 3, -y - 2.5], axis=1) / 16.5, colour)
    _disc(image, -0.42, -0.38, 0.17, _LIGHT)


def _gear(image: np.ndarray, colour: Colour) -> None:
    """A toothed wheel with a bright hub and one bright spoke, so that its turning is seen."""
    a = np.linspace(0, 2 * np.pi, 321)
    radius = np.where(np.sin(8 * a) > 0, 1.0, 0.76)
    _polygon(image, np.stack([np.cos(a), np.sin(a)], axis=1) * radius[:, None], colour)
    _polygon(image, np.concatenate([[(0, 0)], _arc(-0.45, 0.45, 0.7)]), _LIGHT)
    _disc(image, 0, 0, 0.26, _DARK)


def _crate(image: np.ndarray, colour: Colour) -> None:
    """A chequered square."""
    edges = np.linspace(-0.707, 0.707, 4)
    for i in range(3):
        for j in range(3):
            x, y, right, bottom = edges[i], edges[j], edges[i + 1], edges[j + 1]
            corners = [(x, y), (right, y), (right, bottom), (x, bottom)]
            _polygon(image, corners, _DARK if (i + j) % 2 else colour)


def _bell(image: np.ndarray, colour: Colour) -> None:
    """A bell with a bright band and a dark clapper."""
    _disc(image, 0, 0.78, 0.2, _DARK)
    side = [(0.2, -0.95), (0.45, -0.6), (0.52, 0.1), (0.66, 0.45), (0.82, 0.62), (0.82, 0.72)]
    _polygon(image, side + [(-x, y) for x, y in reversed(side)], colour)
    _polygon(image, [(-0.53, 0.12), (0.53, 0.12), (0.62, 0.36), (-0.62, 0.36)], _LIGHT)


def _star(image: np.ndarray, colour: Colour) -> None:
    """A five-pointed star with a star in it."""
    a = np.arange(10) * np.pi / 5 - np.pi / 2
    corners = (
        np.stack([np.cos(a), np.sin(a)], axis=1) * np.where(np.arange(10) % 2, 0.46, 1)[:, None]
    )
    _polygon(image, corners, colour)
    _polygon(image, 0.5 * corners, _LIGHT)


def _hammer(image: np.ndarray, colour: Colour) -> None:
    """A hammer: coloured head, bright handle."""
    _polygon(image, [(-0.13, -0.6), (0.13, -0.6), (0.13, 1.0), (-0.13, 1.0)], _LIGHT)
    _polygon(image, [(-0.68, -0.73), (0.68, -0.73), (0.68, -0.12), (-0.68, -0.12)], colour)


def _maraca(image: np.ndarray, colour: Colour) -> None:
    """A maraca: striped head, dark handle."""
    _polygon(image, [(-0.11, 0.0), (0.11, 0.0), (0.16, 1.0), (-0.16, 1.0)], _DARK)
    head = _arc(0, 2 * np.pi) * [0.58, 0.62] + [0, -0.37]
    _polygon(image, head, colour)
    for y in (-0.7, -0.37, -0.04):
        half = 0.58 * np.sqrt(1 - ((y + 0.37) / 0.62) ** 2)
        _polygon(
            image,
            [(-half, y - 0.07), (half, y - 0.07), (half, y + 0.07), (-half, y + 0.07)],
            _LIGHT,
        )


def _fish(image: np.ndarray, colour: Colour) -> None:
    """A fish that looks to the right: striped body, tail, eye."""
    _polygon(image, [(-0.35, 0), (-0.95, -0.5), (-0.8, 0), (-0.95, 0.5)], colour)
    _polygon(image, _arc(0, 2 * np.pi) * [0.68, 0.48] + [0.25, 0], colour)
    for x in (-0.1, 0.2):
        half = 0.48 * np.sqrt(1 - ((x - 0.25) / 0.68) ** 2)
        _polygon(
            image,
            [(x - 0.08, -half), (x + 0.08, -half), (x + 0.08, half), (x - 0.08, half)],
            _LIGHT,
        )
    _disc(image, 0.6, -0.1, 0.12, _DARK)


def _clock(image: np.ndarray, colour: Colour) -> None:
    """A clock: coloured rim, bright face, one broad hand."""
    _disc(image, 0, 0, 1, colour)
    _disc(image, 0, 0, 0.72, _LIGHT)
    _polygon(image, [(-0.14, 0.18), (0.14, 0.18), (0.1, -0.7), (-0.1, -0.7)], _DARK)


def _frog(image: np.ndarray, colour: Colour) -> None:
    """A frog's head and legs: two eyes on top, feet to the sides."""
    for side in (-1, 1):
        _polygon(
            image, [(0, 0.2), (0.55 * side, 0.1), (0.9 * side, 0.8), (0.2 * side, 0.8)], colour
        )
        _disc(image, 0.42 * side, -0.55, 0.3, colour)
        _disc(image, 0.42 * side, -0.58, 0.16, _LIGHT)
    _polygon(image, _arc(0, 2 * np.pi) * [0.62, 0.55] + [0, 0.0], colour)
    _polygon(image, [(-0.4, 0.1), (0.4, 0.1), (0.25, 0.25), (-0.25, 0.25)], _DARK)


def _drum(image: np.ndarray, colour: Colour) -> None:
    """A drum from the side: bright skin, zigzag cords."""
    _polygon(image, [(-0.8, -0.4), (0.8, -0.4), (0.8, 0.6), (-0.8, 0.6)], colour)
    _polygon(image, _arc(0, 2 * np.pi) * [0.8, 0.25] + [0, -0.4], _LIGHT)
    for x in (-0.53, 0.0, 0.53):
        _polygon(image, [(x - 0.25, -0.1), (x, 0.55), (x + 0.25, -0.1), (x, 0.25)], _DARK)


def _moon(image: np.ndarray, colour: Colour) -> None:
    """A crescent, open to the top."""
    outer, inner = _arc(-0.3, np.pi + 0.3, 0.95), _arc(np.pi + 0.05, -0.05, 0.72)
    _polygon(image, np.concatenate([outer, inner * [1.1, 1] + [0, -0.22]]), colour)


def _arrow(image: np.ndarray, colour: Colour) -> None:
    """An arrow to the right with a bright tail."""
    _polygon(image, [(-0.6, -0.2), (0.2, -0.2), (0.2, 0.2), (-0.6, 0.2)], colour)
    _polygon(image, [(0.1, -0.7), (1, 0), (0.1, 0.7)], colour)
    _polygon(image, [(-0.95, -0.4), (-0.5, -0.4), (-0.3, 0), (-0.5, 0.4), (-0.95, 0.4)], _LIGHT)


def _pump(image: np.ndarray, colour: Colour) -> None:
    """A plunger: handle across the top, rod, wide foot."""
    _polygon(image, [(-0.12, -0.7), (0.12, -0.7), (0.12, 0.5), (-0.12, 0.5)], _LIGHT)
    _polygon(image, [(-0.6, -0.9), (0.6, -0.9), (0.6, -0.6), (-0.6, -0.6)], colour)
    _polygon(image, [(-0.35, 0.2), (0.35, 0.2), (0.75, 0.65), (-0.75, 0.65)], colour)


def _kite(image: np.ndarray, colour: Colour) -> None:
    """A kite: a long diamond in four fields."""
    top, right, bottom, left = (0, -0.95), (0.65, -0.25), (0, 0.95), (-0.65, -0.25)
    _polygon(image, [top, right, bottom, left], colour)
    _polygon(image, [top, right, (0, -0.25)], _LIGHT)
    _polygon(image, [bottom, left, (0, -0.25)], _DARK)


_LOOKS: dict[str, Callable[[np.ndarray, Colour], None]] = {
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


def draw_sprite(kind: str, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one object, with random hue, saturation and brightness around the kind's own.

    Args:
        kind (str): One of ``SHAPE_KINDS``.
        size (int): Side of the picture in pixels; the object fills its inscribed circle.
        rng (np.random.Generator): Source of chance.

    Returns:
        tuple[np.ndarray, np.ndarray]: Both float32 (size, size, 3): red, green and blue (0 to 255,
        premultiplied by alpha), and alpha (0 to 1, thrice).
    """
    hue = (SHAPE_KINDS.index(kind) + rng.uniform(-0.8, 0.8)) / len(SHAPE_KINDS)
    rgb = colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.65, 1), rng.uniform(0.7, 1))
    return _finish(_draw(kind, rgb), size)


def draw_varied_sprite(
    kind: str, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one object of the hard level: squeezed, with streaks, and a hue near a neighbour's.

    Args:
        kind (str): One of ``HARD_KINDS``.
        size (int): Side of the picture in pixels; the object fills its inscribed circle along its
            longer axis.
        rng (np.random.Generator): Source of chance.

    Returns:
        tuple[np.ndarray, np.ndarray]: As of :func:`draw_sprite`.
    """
    hue = (HARD_KINDS.index(kind) + rng.uniform(-0.8, 0.8)) / len(HARD_KINDS)
    rgb = colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.6, 1), rng.uniform(0.65, 1))
    image = _draw(kind, rgb)
    direction, wave, phase = rng.uniform((0, 0.15, 0), (np.pi, 0.5, 2 * np.pi))
    y, x = np.ogrid[:_CANVAS, :_CANVAS]
    streaks = np.sin(wave * (np.cos(direction) * x + np.sin(direction) * y) + phase)
    brightness = 1 + rng.uniform(0, 0.25) * streaks[..., None]
    image = np.where(image > 0, np.clip(image * brightness, 1, 255), 0).astype(np.uint8)
    squeeze = np.diag(rng.permutation([1, rng.uniform(0.7, 1)]))
    middle = (_CANVAS - 1) / 2
    shift = middle - squeeze @ [middle, middle]
    matrix = np.column_stack([squeeze, shift])
    return _finish(cv2.warpAffine(image, matrix, (_CANVAS, _CANVAS), flags=cv2.INTER_NEAREST), size)


def _draw(kind: str, rgb: tuple[float, float, float]) -> np.ndarray:
    """Draw a kind on a canvas, uint8; no part of an object is black."""
    image = np.zeros((_CANVAS, _CANVAS, 3), np.uint8)
    _LOOKS[kind](image, tuple(round(255 * c) for c in rgb))
    return image


def _finish(image: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Outline what is drawn on a canvas, and shrink it with its alpha."""
    mask = np.asarray(image.any(axis=2), np.uint8)
    # a dark outline, so that bright and dark parts stand out on any background
    image[cv2.erode(mask, np.ones((5, 5), np.uint8)) < mask] = _DARK
    alpha = np.repeat(mask[..., None], 3, axis=2)
    sprite, alpha = (
        cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
        for part in (image, 255 * alpha)
    )
    return sprite, alpha / 255


def draw_background(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a dull background of blotches, stripes and grain.

    Args:
        width (int): Pixels.
        height (int): Pixels.
        rng (np.random.Generator): Source of chance.

    Returns:
        np.ndarray: float32 (height, width, 3), about 40 to 215.
    """
    picture = np.full((height, width, 3), rng.uniform(90, 165), np.float32)
    picture += rng.uniform(-15, 15, 3)
    for cells, strength in ((3, 20), (8, 12), (24, 8)):
        blotches = rng.standard_normal((cells, cells, 3), np.float32)
        grey = blotches.mean(axis=2, keepdims=True)
        blotches = strength * (grey + 0.5 * blotches)
        picture += cv2.resize(blotches, (width, height), interpolation=cv2.INTER_CUBIC)
    direction, wave = rng.uniform(0, np.pi), 2 * np.pi / rng.uniform(6, 30)
    y, x = np.ogrid[:height, :width]
    along = (np.cos(direction) * x + np.sin(direction) * y).astype(np.float32)
    stripes = rng.uniform(0, 14) * np.sin(wave * along + rng.uniform(0, 2 * np.pi))
    grain = rng.uniform(1, 4) * rng.standard_normal((height, width), np.float32)
    picture += (stripes + grain)[..., None]
    return np.clip(picture, 20, 235)
