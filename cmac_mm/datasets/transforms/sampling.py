"""Sampling of clips in time."""

from __future__ import annotations

import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class SampleClips(BaseTransform):
    """Draw the time spans of clips, in seconds.

    Reads ``total_duration``; adds ``clip_start`` and ``audio_start`` (lists of ``num_clips``
    seconds, 0 being the first picture), ``clip_duration`` and ``audio_duration`` (seconds). Draws
    from ``numpy.random``, as MMAction2's transforms do, so mmengine's seeding of workers holds.

    Picture and sound start together unless ``visual_offset`` says otherwise. A file shorter than
    the clip gives one that starts at 0; what is missing is held picture and silence.

    Args:
        duration (float): Length of a clip in seconds.
        num_clips (int): Clips a sample. Defaults to 1.
        mode (str): ``'random'``: each start uniform over the places where the clip fits;
            ``'uniform'``: evenly spaced from the first to the last such place, a single clip in
            the middle. Defaults to ``'random'``.
        audio_duration (float, optional): Length of the sound in seconds. Defaults to None: that
            of the clip.
        visual_offset (tuple[float, float]): The picture starts this range of seconds after the
            sound, drawn uniformly, kept inside the file; mode ``'random'`` only. AVID: (-0.5, 2).
            Defaults to (0, 0).
        same_start (bool): All clips of a sample start at one time: several views of one clip,
            which what follows in the pipeline crops, flips and masks on their own; mode
            ``'random'`` only. Defaults to False.
    """

    def __init__(
        self,
        duration: float,
        num_clips: int = 1,
        mode: str = "random",
        audio_duration: float | None = None,
        visual_offset: tuple[float, float] = (0.0, 0.0),
        same_start: bool = False,
    ) -> None:
        if duration <= 0 or (audio_duration is not None and audio_duration <= 0):
            raise ValueError(
                f"duration and audio_duration must be positive, not {duration}, {audio_duration}"
            )
        if num_clips < 1:
            raise ValueError(f"num_clips must be at least 1, not {num_clips}")
        if mode not in ("random", "uniform"):
            raise ValueError(f"mode must be 'random' or 'uniform', not {mode!r}")
        if len(visual_offset) != 2 or visual_offset[0] > visual_offset[1]:
            raise ValueError(f"visual_offset must be (low, high), not {visual_offset}")
        if mode == "uniform" and tuple(visual_offset) != (0, 0):
            raise ValueError("visual_offset needs mode='random'")
        if mode == "uniform" and same_start:
            raise ValueError("same_start needs mode='random'")
        self.duration = duration
        self.num_clips = num_clips
        self.mode = mode
        self.audio_duration = duration if audio_duration is None else audio_duration
        self.visual_offset = (visual_offset[0], visual_offset[1])
        self.same_start = same_start

    def transform(self, results: dict) -> dict:
        """Draw the clips of one sample."""
        total = results["total_duration"]
        if self.visual_offset == (0, 0):
            last = max(0.0, total - max(self.duration, self.audio_duration))
            audio_start = clip_start = self._starts(last)
        else:
            audio_start = self._starts(max(0.0, total - self.audio_duration))
            offset = np.random.uniform(*self.visual_offset, size=self.num_clips)
            clip_start = np.clip(audio_start + offset, 0.0, max(0.0, total - self.duration))
        if self.same_start:
            clip_start, audio_start = (
                np.repeat(starts[:1], self.num_clips) for starts in (clip_start, audio_start)
            )
        results["clip_start"] = clip_start.tolist()
        results["audio_start"] = audio_start.tolist()
        results["clip_duration"] = self.duration
        results["audio_duration"] = self.audio_duration
        return results

    def _starts(self, last: float) -> np.ndarray:
        if self.mode == "random":
            return np.random.uniform(0.0, last, size=self.num_clips)
        if self.num_clips == 1:
            return np.array([last / 2])
        return np.linspace(0.0, last, self.num_clips)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(duration={self.duration}, num_clips={self.num_clips}, "
            f"mode={self.mode!r}, audio_duration={self.audio_duration}, "
            f"visual_offset={self.visual_offset}, same_start={self.same_start})"
        )
