"""Single frames of files."""

from pathlib import Path

import numpy as np
from mmaction.registry import TRANSFORMS


def middle_frame(filename: str | Path, short_side: int = 144) -> np.ndarray:
    """Read the frame in the middle of a video.

    Args:
        filename (str | Path): Path of the file.
        short_side (int): Shorter side of the picture in pixels. Defaults to 144.

    Returns:
        np.ndarray: (H, W, 3) uint8.

    Raises:
        MediaError: If the file cannot be used.
    """
    results = TRANSFORMS.build(dict(type="OpenAudioVisual", need_audio=False))(
        dict(filename=str(filename))
    )
    try:
        for cfg in (
            dict(type="SampleClips", duration=1 / 30, mode="uniform"),
            dict(type="DecodeAudioVisual", clip_len=1, short_side=short_side),
        ):
            results = TRANSFORMS.build(cfg)(results)
        return results["imgs"][0]
    finally:
        if "media" in results:
            results["media"].close()
