"""Conversion of decoded frames to the arrays of clips."""

from __future__ import annotations

from functools import partial

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from ..av_reader import MediaFile, Scaler
from .per_clip import PerClip


class WholePictures:
    """Collects RGB pictures by their times, in one block of memory.

    Args:
        media (MediaFile): The file that the frames are from.
        times (list[float]): Where in the file each place of the block comes from, in seconds.
        short_side (int | None): Scale to this shorter side in pixels; None: native size.
    """

    def __init__(self, media: MediaFile, times: list[float], short_side: int | None) -> None:
        self._places = _places(times)
        self._count = len(times)
        self._scaler = Scaler(media, partial(fit, short_side=short_side), format="rgb24")
        self._images: np.ndarray | None = None

    def add(self, times: list[float], frame: VideoFrame) -> None:
        """Convert a picture and put it wherever it is wanted.

        Each place gets its own copy, since some of MMAction2's transforms work in place.
        """
        image = self._scaler(frame).to_ndarray()
        image = self._scaler.pose.apply(image)
        if self._images is None:
            self._images = np.empty((self._count, *image.shape), np.uint8)
        for time in times:
            for place in self._places[time]:
                self._images[place] = image

    def put_into(self, results: dict) -> None:
        """Add ``imgs``, a list of `(H, W, 3)`, ``img_shape`` and ``original_shape``."""
        assert self._images is not None  # read_frames gives one for each time
        results["imgs"] = list(self._images)
        results["img_shape"] = self._images.shape[1:3]
        results["original_shape"] = self._scaler.shown[::-1]


class CroppedPictures:
    """Collects crops of pictures by their times, as the model takes them.

    Colours are converted plane by plane, so a crop needs no rearranging, and flipping is done once
    for a whole clip.

    Args:
        media (MediaFile): The file that the frames are from.
        times (list[float]): Where in the file each picture comes from, in seconds, clip by clip.
        clip_len (int): Pictures a clip.
        short_side (int | None): Scale to this shorter side in pixels; None: native size.
        per_clip (PerClip): Lazy transforms that draw the crop and the flip of each clip.
    """

    def __init__(
        self,
        media: MediaFile,
        times: list[float],
        clip_len: int,
        short_side: int | None,
        per_clip: PerClip,
    ) -> None:
        self._places = _places(times)
        self._clip_len = clip_len
        self._num_clips = len(times) // clip_len
        self._scaler = Scaler(media, partial(fit, short_side=short_side), format="gbrp")
        self._per_clip = per_clip
        self._draws: list[dict] = []
        self._boxes: list[tuple[int, int, int, int]] = []
        self._block: np.ndarray | None = None

    def add(self, times: list[float], frame: VideoFrame) -> None:
        """Convert a picture and put its crop wherever it is wanted."""
        green, blue, red = self._scaler(frame).planes
        planes = [self._scaler.pose.apply(_array(plane)) for plane in (red, green, blue)]
        if self._block is None:
            self._block = self._draw(planes[0].shape)
        for time in times:
            for place in self._places[time]:
                clip, moment = divmod(place, self._clip_len)
                left, top, right, bottom = self._boxes[clip]
                for channel, plane in enumerate(planes):
                    self._block[clip, channel, moment] = plane[top:bottom, left:right]

    def put_into(self, results: dict) -> None:
        """Add ``imgs`` `(num_clips, 3, clip_len, H, W)`, the shapes and what was drawn."""
        assert self._block is not None  # read_frames gives a picture for each time
        for clip, draw in zip(self._block, self._draws, strict=True):
            lazy = draw.pop("lazy")
            if not lazy["flip"]:
                continue
            if lazy["flip_direction"] == "horizontal":
                rows = clip.reshape(-1, clip.shape[-1])
                cv2.flip(rows, 1, rows)
            else:
                clip[...] = clip[..., ::-1, :].copy()
        results.update(self._per_clip.merge(self._draws))
        results["imgs"] = self._block
        results["original_shape"] = self._scaler.shown[::-1]

    def _draw(self, shape: tuple[int, ...]) -> np.ndarray:
        for _ in range(self._num_clips):
            draw = self._per_clip.transforms(dict(img_shape=shape, modality="RGB"))
            lazy = draw["lazy"]
            left, top, right, bottom = (round(float(side)) for side in lazy["crop_bbox"])
            if lazy["interpolation"] is not None or draw["img_shape"] != (
                bottom - top,
                right - left,
            ):
                raise ValueError("DecodeAudioVisual cannot resize after cropping: use PerClip")
            self._draws.append(draw)
            self._boxes.append((left, top, right, bottom))
        height, width = self._per_clip.common_shape(self._draws)
        return np.empty((self._num_clips, 3, self._clip_len, height, width), np.uint8)


def _places(times: list[float]) -> dict[float, list[int]]:
    places: dict[float, list[int]] = {}
    for place, time in enumerate(times):
        places.setdefault(time, []).append(place)
    return places


def fit(size: tuple[int, int], short_side: int | None) -> tuple[int, int]:
    """Width and height with the given shorter side, the longer one even.

    Args:
        size (tuple[int, int]): Width and height of the picture in pixels.
        short_side (int | None): Wanted shorter side in pixels; None: leave the size as it is.
    """
    width, height = size
    if short_side is None or short_side == min(width, height):
        return width, height
    long_side = max(2, 2 * round(max(width, height) * short_side / min(width, height) / 2))
    return (long_side, short_side) if width >= height else (short_side, long_side)


def _array(plane: VideoPlane) -> np.ndarray:
    """The bytes `(H, W)` of a plane, without the padding of its lines."""
    lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return lines[: plane.height, : plane.width]
