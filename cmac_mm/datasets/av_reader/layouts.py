"""Channel layouts of audio tracks."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from av import AudioLayout

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

# The order that FFmpeg gives to channels with places.
_ORDER = [AudioLayout(hex(1 << bit)).channels[0].name for bit in range(63)]


def has_places(layout: str) -> bool:
    """Whether a layout gives the position of each channel.

    ``'3 channels'`` does not, though FFmpeg guesses; ``'ambisonic 2'`` holds directions instead.

    Args:
        layout (str): FFmpeg's name of the layout.
    """
    return not re.fullmatch(r"\d+ channels|ambisonic.*", layout)


def forget_odd_order(context: AudioCodecContext) -> None:
    """Remove the positions of channels in an order of the file's own, such as left twice.

    PyAV frees such a layout twice, once with each frame, which ends the process.

    Args:
        context (AudioCodecContext): The decoder of the track, not opened yet.
    """
    layout = context.layout
    if "(" not in layout.name:
        return
    names = [channel.name for channel in layout.channels]
    places = [_ORDER.index(name) if name in _ORDER else -1 for name in names]
    if any(one >= other for one, other in pairwise([-1, *places])):
        # What is replaced here stays with ``layout`` alone.
        context.layout = f"{layout.nb_channels} channels"
