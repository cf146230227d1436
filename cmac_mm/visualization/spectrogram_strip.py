"""Spectrogram of some seconds of a file, with axes in seconds and Hz, and attention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from mmcv.transforms import BaseTransform
from torch import Tensor, from_numpy, linspace

from ..datasets import MediaFile
from ..datasets.av_reader import read_sound
from ..evaluation.functional import filter_frequencies
from .attention import lay_heat
from .attention_track import AttentionTrack
from .sheet import frequency_ticks, spectrogram_picture

COLUMNS_PER_SECOND = 20  # of a map over sound
_SHORTEST = 0.1  # seconds; a spectrogram of less cannot be drawn


@dataclass
class SoundSpan:
    """Spectrogram of some seconds of audio, as the network gets it.

    Attributes:
        start (float): Seconds.
        end (float): Seconds.
        levels (np.ndarray): Spectrogram, lowest frequency first, (F, frames).
        frequencies (Tensor): Of its rows, Hz, (F,).
    """

    start: float
    end: float
    levels: np.ndarray
    frequencies: Tensor


def read_span(media: MediaFile, spectrogram: BaseTransform, start: float, end: float) -> SoundSpan:
    """Read some seconds of audio.

    Args:
        media (MediaFile): The open file.
        spectrogram (BaseTransform): One of this project's.
        start (float): Seconds.
        end (float): Seconds; what is shorter than a tenth of a second is drawn with silence behind.

    Raises:
        MediaError: The sound cannot be decoded.
    """
    rate = spectrogram.sample_rate
    end = max(end, start + _SHORTEST)
    waveform = read_sound(media, [start], end - start, rate)
    levels = spectrogram.transform(dict(waveform=waveform, sample_rate=rate))["audios"][0, 0]
    return SoundSpan(start, end, levels.numpy(), row_centres(spectrogram))


def row_centres(spectrogram: BaseTransform) -> Tensor:
    """Compute the frequency of each row of a spectrogram in Hz, lowest first.

    Args:
        spectrogram (BaseTransform): One of this project's.
    """
    if not hasattr(spectrogram, "filters"):  # AVID's, evenly spaced
        return linspace(0, spectrogram.sample_rate / 2, spectrogram.num_bands)
    filters = spectrogram.filters.toarray()
    # Empty filters, as GDT has them, have no frequency: that of the one before.
    full = filters.any(axis=1)
    filled = np.maximum.accumulate(np.where(full, np.arange(len(full)), full.argmax()))
    return filter_frequencies(from_numpy(filters[filled].T), spectrogram.sample_rate)


def draw_span(ax: Axes, span: SoundSpan, track: AttentionTrack | None, coloured: bool) -> None:
    """Draw a spectrogram, and attention over it where there is a track.

    Args:
        ax (Axes): Where.
        span (SoundSpan): The sound.
        track (AttentionTrack | None): Attention of the sound.
        coloured (bool): The spectrogram in colours, and not in grey.
    """
    picture = spectrogram_picture(span.levels, coloured)
    if track is not None:
        columns = max(2, round(COLUMNS_PER_SECOND * (span.end - span.start)))
        attention = track.sound_map(span.start, span.end, columns)[
            ::-1
        ]  # pictures start at the top
        picture = lay_heat(picture, track.heat(attention, picture.shape[:2]))
    height = len(picture)
    ax.imshow(picture, extent=(span.start, span.end, height, 0), aspect="auto")
    frequency_ticks(ax, span.frequencies, height)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter("{x:g} s")
    ax.set(xlim=(span.start, span.end), ylim=(height, 0))
