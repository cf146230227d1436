"""Clips made of one still frame."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ..av_reader import MediaError


@TRANSFORMS.register_module()
class StillClip(BaseTransform):
    """Read a picture and repeat it for the length of each audio clip.

    Behind :class:`LoadAudio`, :class:`SampleClips` and :class:`CropAudio`. Reads ``picture``, a
    local file, and ``num_clips``; adds, as MMAction2's decoders do, ``imgs`` (list of
    ``num_clips * clip_len`` references to one RGB uint8 array ``(H, W, 3)``), ``original_shape``,
    ``img_shape``, ``clip_len`` and ``modality``.

    Args:
        clip_len (int): Frames a clip.

    Raises:
        MediaError: The file is missing or is no picture.
    """

    def __init__(self, clip_len: int) -> None:
        if clip_len < 1:
            raise ValueError(f"clip_len must be at least 1, not {clip_len}")
        self.clip_len = clip_len

    def transform(self, results: dict) -> dict:
        """Read ``results['picture']``."""
        picture = _read(str(results["picture"]))
        results["imgs"] = [picture] * (results["num_clips"] * self.clip_len)
        results["original_shape"] = results["img_shape"] = picture.shape[:2]
        results["clip_len"] = self.clip_len
        results["modality"] = "RGB"
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(clip_len={self.clip_len})"


def _read(filename: str) -> np.ndarray:
    try:
        content = np.frombuffer(Path(filename).read_bytes(), np.uint8)
    except OSError as error:
        raise MediaError(filename, f"cannot be read ({error.strerror})") from error
    picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if picture is None:
        raise MediaError(filename, "is no picture that OpenCV can read")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
