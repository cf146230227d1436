"""Scene of one clip: objects, frames, audio, and the place of the sounding object."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from .kinds import LEVELS
from .looks import draw_background, draw_sprite, draw_varied_sprite
from .motions import draw_motion
from .sounds import SAMPLE_RATE, Sound, synthesise
from .voices import synthesise_hard

SPLITS = ("train", "test")
_SIZES = ((96, 96), (128, 96), (96, 128), (112, 112))  # width, height
_FRAME_RATES = (15, 20, 24, 25, 30)
_FRAME_RATE_SHARES = (0.5, 0.2, 0.1, 0.1, 0.1)
_MIN_SECONDS, _MAX_SECONDS = 2.0, 2.8
_LARGEST_SCALE = 1.35  # a heart's, while it pulsates
_DRIFT = 0.03  # at most, on each axis, in short sides per second


@dataclass(frozen=True)
class _Level:
    """What is drawn differently at each level.

    Args:
        num_silent (Mapping[int, float]): Numbers of silent objects, and how often each occurs.
        radii (tuple[float, float]): Range of the objects' radii in short sides.
        pace (tuple[float, float] | None): Range of the silent objects' pace, where they would
            move at 1 if they sounded; None: they stand still.
        draw_sprite (Callable): Draws an object.
        synthesise (Callable): Makes the sound.
    """

    num_silent: Mapping[int, float]
    radii: tuple[float, float]
    pace: tuple[float, float] | None
    draw_sprite: Callable[..., tuple[np.ndarray, np.ndarray]]
    synthesise: Callable[..., Sound]


_LEVELS = {
    "plain": _Level({1: 1 / 3, 2: 2 / 3}, (0.15, 0.2), None, draw_sprite, synthesise),
    "hard": _Level(
        {2: 1 / 2, 3: 1 / 3, 4: 1 / 6},
        (0.17, 0.22),
        (0.05, 0.15),
        draw_varied_sprite,
        synthesise_hard,
    ),
}


@dataclass(frozen=True)
class Shape:
    """Object of a clip.

    Args:
        kind (str): One of the level's kinds.
        radius (float): Of the circle that holds the object at scale 1, in pixels.
        sprite (np.ndarray): Its picture, float32 (size, size, 3), premultiplied by ``alpha``.
        alpha (np.ndarray): How opaque each pixel is, 0 to 1, thrice: float32 (size, size, 3).
        poses (np.ndarray): In each frame x, y (pixels), angle (radians) and scale, shape (T, 4).
    """

    kind: str
    radius: float
    sprite: np.ndarray
    alpha: np.ndarray
    poses: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Description of a clip: objects, background and audio.

    Args:
        width (int): Pixels.
        height (int): Pixels.
        fps (int): Frames per second.
        shapes (tuple[Shape, ...]): Silent objects, then the sounding one, which is drawn on top.
        background (np.ndarray): float32 (height, width, 3).
        noise (np.ndarray): Pixel noise, larger than a frame: every frame shows another part.
        sound (Sound): As long as the picture.
        impact_times (np.ndarray): Seconds at which the sounding object hits something.
    """

    width: int
    height: int
    fps: int
    shapes: tuple[Shape, ...]
    background: np.ndarray
    noise: np.ndarray
    sound: Sound
    impact_times: np.ndarray

    @property
    def sounding(self) -> Shape:
        """Object that sounds."""
        return self.shapes[-1]


def draw_kinds(seed: int, split: str, index: int, level: str = "plain") -> list[str]:
    """Draw the kinds of a clip: the silent ones, then the sounding one.

    Of K kinds, in every K clips from a multiple of K on, each sounds once and is silent equally
    often, so that seeing a kind tells nothing about whether it is the one that sounds.

    Args:
        seed (int): Seed of the set, not negative.
        split (str): ``'train'`` or ``'test'``.
        index (int): Number of the clip in its split, not negative.
        level (str): ``'plain'`` or ``'hard'``. Defaults to ``'plain'``.

    Returns:
        list[str]: Different kinds: two or three at the plain level, three to five at the hard one.
    """
    kinds, num_silent = LEVELS[level], _LEVELS[level].num_silent
    num_kinds = len(kinds)
    block, place = divmod(index, num_kinds)
    rng = np.random.default_rng([seed, SPLITS.index(split), 0, block])
    order = rng.permutation(num_kinds)
    count = rng.choice(list(num_silent), p=list(num_silent.values()))
    steps = rng.choice(np.arange(1, num_kinds), count, replace=False)
    labels = [*order[(place + steps) % num_kinds], order[place]]
    return [kinds[label] for label in labels]


def draw_scene(seed: int, split: str, index: int, level: str = "plain") -> Scene:
    """Draw a clip from the arguments alone.

    Args:
        seed (int): Seed of the set, not negative.
        split (str): ``'train'`` or ``'test'``.
        index (int): Number of the clip in its split, not negative.
        level (str): ``'plain'`` or ``'hard'``. Defaults to ``'plain'``.

    Returns:
        Scene: The clip.

    Raises:
        ValueError: If an argument is out of its range.
    """
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is unknown: expected one of {SPLITS}")
    if level not in LEVELS:
        raise ValueError(f"level {level!r} is unknown: expected one of {tuple(LEVELS)}")
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index must not be negative, got {seed} and {index}")
    rng = np.random.default_rng([seed, SPLITS.index(split), 1, index])
    kinds = draw_kinds(seed, split, index, level)
    drawn = _LEVELS[level]
    width, height = _SIZES[rng.integers(len(_SIZES))]
    fps = int(rng.choice(_FRAME_RATES, p=_FRAME_RATE_SHARES))
    num_frames = round(rng.uniform(_MIN_SECONDS, _MAX_SECONDS) * fps)
    seconds, times = num_frames / fps, np.arange(num_frames) / fps

    # in units of the short side first, then in pixels
    short_side = min(width, height)
    relative_radii = rng.uniform(*drawn.radii, len(kinds))
    motions = [draw_motion(k, r, rng) for k, r in zip(kinds, relative_radii, strict=True)]
    paths = np.stack([motion.pose(times) for motion in motions])
    drifts = times[:, None] * rng.uniform(-_DRIFT, _DRIFT, (len(kinds), 1, 2))
    radii = relative_radii * short_side
    anchors = _place(paths, drifts, radii, np.array([width, height]), rng)
    for i, motion in enumerate(motions[:-1]):
        # silent: it stands still on the path that it would take if it sounded, or takes it slowly
        own_time = rng.uniform(0, seconds, 1)
        if drawn.pace:
            own_time = own_time + rng.uniform(*drawn.pace) * times
        paths[i] = motion.pose(own_time)
    paths[..., :2] = short_side * (paths[..., :2] + drifts) + anchors[:, None]

    sizes = np.ceil(2 * _LARGEST_SCALE * radii).astype(int)
    shapes = tuple(
        Shape(kind, radius, *drawn.draw_sprite(kind, size, rng), path)
        for kind, radius, size, path in zip(kinds, radii, sizes, paths, strict=True)
    )
    background = draw_background(width, height, rng)
    noise = rng.uniform(0.5, 2.5) * rng.standard_normal((height + 32, width + 32), np.float32)
    noise = np.repeat(noise[..., None], 3, axis=2)
    num_samples = round(seconds * SAMPLE_RATE)
    sound = drawn.synthesise(kinds, motions[-1], relative_radii[-1], num_samples, rng)
    impact_times = motions[-1].impacts(0, seconds)
    return Scene(width, height, fps, shapes, background, noise, sound, impact_times)


def _place(
    paths: np.ndarray,
    drifts: np.ndarray,
    radii: np.ndarray,
    frame: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Anchors (N, 2) in pixels that keep each path in the frame and, as far as chance finds, apart.

    Silent objects claim the room that they would move in, too: were the sounding one placed by
    another rule than they are, a still frame would tell it.
    """
    centres = frame.min() * (paths[..., :2] + drifts)
    reach = radii[:, None, None] * paths[..., 3:]
    low, high = (centres - reach).min(axis=1), (centres + reach).max(axis=1)
    anchors = rng.uniform(-low, np.maximum(frame - high, -low), (24, *low.shape))
    overlap = np.zeros(len(anchors))
    for i in range(len(low)):
        for j in range(i):
            start = np.maximum(anchors[:, i] + low[i], anchors[:, j] + low[j])
            stop = np.minimum(anchors[:, i] + high[i], anchors[:, j] + high[j])
            overlap += np.maximum(stop - start, 0).prod(axis=1)
    return anchors[overlap.argmin()]


def render_frames(scene: Scene, with_sounding: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Render all frames of a clip.

    Args:
        scene (Scene): The clip.
        with_sounding (bool): Whether the sounding object is drawn. Defaults to True.

    Returns:
        tuple[np.ndarray, np.ndarray]: Frames, uint8 RGB (T, H, W, 3), and the box around the
        sounding object in each, float64 (T, 4): its left, top, right and bottom edge in pixels
        (the picture's are 0, 0, W, H); zeros if it is not drawn.
    """
    num_frames = len(scene.sounding.poses)
    shifts = np.random.default_rng(num_frames).integers(0, 33, (num_frames, 2))
    frames = np.empty((num_frames, scene.height, scene.width, 3), np.uint8)
    boxes = np.zeros((num_frames, 4))
    for i, (y, x) in enumerate(shifts):
        picture = scene.background.copy()
        for shape in scene.shapes[: None if with_sounding else -1]:
            # the sounding one is the last, so this ends as its box
            boxes[i] = _draw(picture, shape, shape.poses[i])
        noise = scene.noise[y : y + scene.height, x : x + scene.width]
        cv2.add(picture, noise, dst=frames[i], dtype=cv2.CV_8U)
    return frames, boxes * with_sounding


def _draw(picture: np.ndarray, shape: Shape, pose: np.ndarray) -> tuple[int, int, int, int]:
    """Blend an object into a picture (in place); return the box around what is drawn."""
    x, y, angle, scale = pose
    height, width = picture.shape[:2]
    reach = shape.radius * scale + 2
    left, top = max(int(x - reach), 0), max(int(y - reach), 0)
    right, bottom = min(int(x + reach) + 1, width), min(int(y + reach) + 1, height)
    size = (right - left, bottom - top)
    zoom = 2 * shape.radius * scale / len(shape.sprite)
    cos, sin, middle = zoom * np.cos(angle), zoom * np.sin(angle), (len(shape.sprite) - 1) / 2
    # OpenCV's coordinates are those of pixel centres, hence the halves
    matrix = np.array(
        [
            [cos, -sin, x - 0.5 - left - (cos - sin) * middle],
            [sin, cos, y - 0.5 - top - (sin + cos) * middle],
        ]
    )
    colour = cv2.warpAffine(shape.sprite, matrix, size)
    hidden = cv2.warpAffine(shape.alpha, matrix, size)
    region = picture[top:bottom, left:right]
    region *= 1 - hidden
    region += colour
    x1, y1, w, h = cv2.boundingRect((hidden[..., 0] > 0.5).view(np.uint8))
    return left + x1, top + y1, left + x1 + w, top + y1 + h
