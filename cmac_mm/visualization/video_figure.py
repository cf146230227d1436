"""Picture of a video with its attention in frames and spectrogram."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmcv.transforms import BaseTransform

from ..datasets import MediaFile
from ..datasets.av_reader import read_frames
from ..datasets.transforms.pictures import WholePictures
from ..features import VideoResult
from .attention import lay_heat
from .attention_track import AttentionTrack
from .sheet import save_figure
from .spectrogram_strip import SoundSpan, draw_span, read_span

KINDS = ("guided", "predicted")
WORDS = {
    ("guided", "visual"): "guided by the sound",
    ("predicted", "visual"): "predicted from the picture",
    ("guided", "audio"): "guided by the picture",
    ("predicted", "audio"): "predicted from the sound",
}
LONGEST = 10.0
"""Seconds that are drawn at a time."""
_SHORT_SIDE = 256
_HEIGHT = 1.3  # inches of a picture


def find_tracks(result: VideoResult) -> dict[tuple[str, str], AttentionTrack]:
    """Find the attention of a video by kind and modality.

    Raises:
        ValueError: If it gave none.
    """
    tracks = {
        (kind, modality): AttentionTrack(result, kind, modality)
        for kind, modality in WORDS
        if f"{kind}_{modality}_attention" in result.fields
    }
    if not tracks:
        reason = f": {result.problem}" if result.problem else ""
        raise ValueError(
            f"{result.source}: {result.model} gives no attention maps to draw, only "
            f"{', '.join(result.fields) or 'nothing'}{reason}"
        )
    return tracks


def video_figure(
    result: VideoResult,
    path: str | Path,
    spectrogram: BaseTransform,
    start: float | None = None,
    num_frames: int = 5,
    note: str = "",
) -> None:
    """Draw frames with guided and predicted attention beside the spectrogram with its maps.

    As figure 5 of the CMAC paper, for any video. A box on a frame marks what the network sees of
    it, where that is not all.

    Args:
        result (VideoResult): What a model said of the video.
        path (str | Path): Picture file to write; the ending tells the format.
        spectrogram (BaseTransform): The model's, such as :class:`LogMelSpectrogram`.
        start (float, optional): Where the (at most ten) seconds that are drawn begin. Defaults to
            None: they lie in the middle of the video.
        num_frames (int): Frames. Defaults to 5.
        note (str): A line below. Defaults to none.

    Raises:
        ValueError: If the model gave no attention maps, or ``start`` lies outside of the video.
        MediaError: If the file cannot be read.
    """
    tracks = find_tracks(result)
    duration = result.duration
    if start is None:
        start = max(0.0, (duration - LONGEST) / 2)
    if not 0 <= start < duration:
        raise ValueError(f"start={start}: {result.source} has {duration:.2f} s")
    end = min(start + LONGEST, duration)
    visual, audio = ("visual" in result.clip_seconds), ("audio" in result.clip_seconds)
    times = (start + (np.arange(num_frames) + 0.5) / num_frames * (end - start)).tolist()
    with closing(MediaFile(result.path, need_video=visual, need_audio=audio)) as media:
        frames = _read(media, times) if visual else None
        span = read_span(media, spectrogram, start, end) if audio else None
    kinds = [k for k in KINDS if any(kind == k for kind, _ in tracks)]
    with matplotlib.rc_context({"font.size": 8, "font.family": "DejaVu Sans"}):
        ratio = frames.shape[2] / frames.shape[1] if frames is not None else 0
        widths = [_HEIGHT * ratio] * num_frames if visual else []
        widths += [4.2] if audio else []
        size = (sum(widths) + 1.6, (_HEIGHT + 0.25) * (1 + len(kinds)) + 0.6)
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        grid = figure.subplots(1 + len(kinds), len(widths), squeeze=False, width_ratios=widths)
        for row, kind in zip(grid, [None, *kinds], strict=True):
            if frames is not None:
                track = tracks.get((kind, "visual")) if kind else None
                _draw_frames(row[:num_frames], frames, times, track, result.region, kind)
            if span is not None:
                track = tracks.get((kind, "audio")) if kind else None
                _draw_sound(row[-1], span, track, kind)
        bar = ScalarMappable(Normalize(0, 1), "inferno")
        bar = figure.colorbar(bar, ax=grid[1:], fraction=0.02, pad=0.01, aspect=30)
        bar.set_ticks([0, 1], labels=["low", "high"])
        bar.set_label("attention", labelpad=-8)
        title = f"{Path(result.source).name}   {start:.2f} to {end:.2f} s   {result.model}"
        figure.suptitle(title, fontsize=9, parse_math=False)
        if note:
            figure.supxlabel(note, fontsize=8, parse_math=False)
        save_figure(figure, Path(path))


def _read(media: MediaFile, times: list[float]) -> np.ndarray:
    pictures = WholePictures(media, times, _SHORT_SIDE)
    read_frames(media, times, pictures.add)
    found: dict = {}
    pictures.put_into(found)
    return np.stack(found["imgs"])


def frame_heat(
    track: AttentionTrack, time: float, size: tuple[int, int], region: tuple[float, ...]
) -> np.ndarray:
    """Compute the heat of each pixel of a frame; 0 outside of what the network sees.

    Args:
        track (AttentionTrack): Attention of pictures.
        time (float): Seconds.
        size (tuple[int, int]): Height and width of the frame.
        region (tuple[float, ...]): Left, top, width and height of what the network sees.
    """
    left, top, right, bottom = region_box(size, region)
    heat = np.zeros(size, np.float32)
    heat[top:bottom, left:right] = track.heat(track.at(time), (bottom - top, right - left))
    return heat


def region_box(size: tuple[int, int], region: tuple[float, ...]) -> tuple[int, int, int, int]:
    """Compute left, top, right and bottom of a region in pixels."""
    x, y, w, h = region
    height, width = size
    left, top = round(x * width), round(y * height)
    return left, top, max(left + 1, round((x + w) * width)), max(top + 1, round((y + h) * height))


def _draw_frames(
    axes: np.ndarray,
    frames: np.ndarray,
    times: list[float],
    track: AttentionTrack | None,
    region: tuple[float, ...],
    kind: str | None,
) -> None:
    size = frames.shape[1:3]
    for ax, frame, time in zip(axes, frames, times, strict=True):
        ax.set(xticks=[], yticks=[])
        if kind is not None and track is None:
            ax.text(0.5, 0.5, "none", ha="center", va="center", color="grey")
            continue
        if track is not None:
            frame = lay_heat(frame, frame_heat(track, time, size, region))
        ax.imshow(frame)
        left, top, right, bottom = region_box(size, region)
        if (left, top, right, bottom) != (0, 0, size[1], size[0]):
            for colour, line in (("black", 1.6), ("white", 0.7)):
                box = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False)
                box.set(edgecolor=colour, linewidth=line)
                ax.add_patch(box)
        if kind is None:
            ax.set_title(f"{time:.2f} s", fontsize=8, pad=3)
    axes[0].set_ylabel("frames" if kind is None else WORDS[kind, "visual"])


def _draw_sound(ax: Axes, span: SoundSpan, track: AttentionTrack | None, kind: str | None) -> None:
    ax.tick_params(labelsize=7, length=2, pad=1.5, colors="dimgrey")
    if kind is not None and track is None:
        ax.text(0.5, 0.5, "none", ha="center", va="center", color="grey")
        ax.set(xticks=[], yticks=[])
    else:
        draw_span(ax, span, track, coloured=kind is None)
    ax.set_title("spectrogram" if kind is None else WORDS[kind, "audio"], fontsize=8, pad=3)
