"""Attention of all clips of a video, interpolated over time."""

from __future__ import annotations

import cv2
import numpy as np

from ..features import VideoResult

# Of the time from one map to the next.
_REACH = 1.5
# Per cent of the pictures' maps that stand out by less than the video's contrast; and of the cells
# of sound that have heat 0, and less than 1.
_CONTRAST, _COLDEST, _WARMEST = 95.0, 10.0, 99.8
_WEAKEST = 0.25
_CONSTANT = 1e-6


class AttentionTrack:
    """Attention over the time of a video.

    A clip's maps lie evenly over its span. At any time the track is their mean, weighted by how
    near they are in time, so that it has no steps, also from clip to clip. Heat is 0 at a
    picture's median and 1 at its maximum, less where this stands out by less than a quarter of what
    it does at other times. Of sound, heat 0 and 1 mean the same in the whole video.

    Args:
        result (VideoResult): What a model said of the video.
        kind (str): ``'guided'`` or ``'predicted'``.
        modality (str): ``'visual'`` or ``'audio'``.

    Raises:
        KeyError: If the model gave no such attention.
    """

    def __init__(self, result: VideoResult, kind: str, modality: str) -> None:
        maps = result[f"{kind}_{modality}_attention"]
        if modality == "audio":
            maps = maps.transpose(0, 2, 1)  # time before frequency
        steps = maps.shape[1]
        offsets = (np.arange(steps) + 0.5) / steps * result.clip_seconds[modality]
        times = (result.starts[:, None] + offsets).ravel()
        order = np.argsort(times, kind="stable")
        self.times = times[order]
        """Times of the maps, seconds, (S,)."""
        self.maps = maps.reshape(-1, *maps.shape[2:])[order]
        """The maps, (S, H', W') of pictures and (S, F') of sound."""
        self._floor: float | None = None
        if modality == "visual":
            flat = self.maps.reshape(len(self.maps), -1)
            contrast = flat.max(axis=1) - np.median(flat, axis=1)
            self._scale = float(np.percentile(contrast, _CONTRAST))
        else:
            self._floor, high = (float(x) for x in np.percentile(maps, (_COLDEST, _WARMEST)))
            self._scale = high - self._floor
        gaps = np.diff(self.times)
        self._reach = _REACH * float(gaps.max(initial=1e-3))

    def at(self, time: float) -> np.ndarray:
        """Interpolate attention at a time, (H', W') or (F',).

        Args:
            time (float): Seconds; before the first map and after the last it is held.
        """
        time = float(np.clip(time, self.times[0], self.times[-1]))
        first = np.searchsorted(self.times, time - self._reach, side="right")
        last = np.searchsorted(self.times, time + self._reach, side="left")
        weights = 1 - np.abs(self.times[first:last] - time) / self._reach
        return np.tensordot(weights / weights.sum(), self.maps[first:last], axes=1)

    def heat(self, attention: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Compute heat from 0 to 1, smooth in space.

        Args:
            attention (np.ndarray): A map, (H', W').
            size (tuple[int, int]): Height and width to reach, pixels.

        Returns:
            np.ndarray: (H, W) float32; 0 everywhere if attention is the same everywhere.
        """
        floor, scale = self._floor, self._scale
        if floor is None:
            floor = float(np.median(attention))
            scale = max(float(attention.max()) - floor, _WEAKEST * scale)
        scaled = (attention - floor) / max(scale, _CONSTANT)
        resized = cv2.resize(scaled.astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC)
        return resized.clip(0, 1)

    def sound_map(self, start: float, end: float, columns: int) -> np.ndarray:
        """Attention of sound over a span, as a map with the lowest frequency first, (F', columns).

        Args:
            start (float): Seconds.
            end (float): Seconds.
            columns (int): Steps of time.
        """
        times = start + (np.arange(columns) + 0.5) / columns * (end - start)
        return np.stack([self.at(time) for time in times], axis=1)
