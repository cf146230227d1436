"""Pictures of the network's input: frames beside their spectrogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from mmengine.dataset import default_collate
from torch import Tensor, nn

from ..utils.files import replacing
from .sheet import frequency_ticks, save_figure

_RANGE_DB = 80.0
# Inches.
_HEIGHT = 1.25  # of pictures and spectrograms
_SOUND_WIDTH = 3.2  # twice that where there are no pictures
_ABOVE, _BELOW = 0.26, 0.24  # title and ticks of a row
_GAP = 0.03
_FREQUENCIES = 0.5  # room for their names
_MARGIN = 0.2
_CLOCK = Fraction(1, 90000)


@dataclass
class SeenClip:
    """One clip as the network gets it. Times are seconds of the file, 0 being its first picture.

    Attributes:
        title (str): File, class, and where the clip lies.
        frames (np.ndarray | None): Pictures, (T, H, W, 3) uint8; None: sound alone.
        times (np.ndarray | None): When each picture is shown, (T,).
        log_mel (np.ndarray | None): Spectrogram, lowest frequency first, (num_mels, frames); None:
            picture alone.
        audio_start (float): Where the sound begins.
        audio_duration (float): Its length.
        waveform (np.ndarray | None): The sound before it became a spectrogram, (samples,).
        sample_rate (int | None): Its sampling rate, Hz.
    """

    title: str
    frames: np.ndarray | None = None
    times: np.ndarray | None = None
    log_mel: np.ndarray | None = None
    audio_start: float = 0.0
    audio_duration: float = 0.0
    waveform: np.ndarray | None = None
    sample_rate: int | None = None


def look(
    dataset: Any,
    index: int,
    data_preprocessor: nn.Module | None = None,
    training: bool = False,
    classes: Sequence[str] | None = None,
) -> list[SeenClip]:
    """Run a sample through the pipeline and the data preprocessor, step by step.

    What the data preprocessor does to the pictures (colour jitter) is seen; its normalisation is
    undone, as pictures must be shown in colours.

    Args:
        dataset (Any): Data set whose pipeline is built of this project's transforms.
        index (int): Which sample.
        data_preprocessor (nn.Module | None): The model's. Defaults to None: as the pipeline gives
            the clips.
        training (bool): Whether the device side augments. Defaults to False.
        classes (Sequence[str] | None): Names of the classes. Defaults to None: numbers.

    Returns:
        list[SeenClip]: The clips of the sample.

    Raises:
        MediaError: If the file cannot be used.
        ValueError: If the pipeline does not draw clips in seconds, as ``SampleClips`` does.
    """
    results = dataset.get_data_info(index)
    waveforms, sample_rate = None, None
    drawn: dict[str, Any] = {}
    try:
        for transform in dataset.pipeline.transforms:
            # A copy: packing leaves out what it is not asked for.
            drawn = dict(results)
            results = transform(results)
            if "waveform" in results:
                waveforms, sample_rate = results["waveform"].copy(), results["sample_rate"]
    finally:
        if drawn.get("media") is not None:
            drawn["media"].close()
    if "clip_start" not in drawn:
        raise ValueError("the pipeline has no SampleClips, so it is not known when clips begin")
    inputs = _inputs(results, data_preprocessor, training)
    fps = next((t.fps for t in dataset.pipeline.transforms if hasattr(t, "fps")), None)
    clips = []
    for i, (start, audio_start) in enumerate(
        zip(drawn["clip_start"], drawn["audio_start"], strict=True)
    ):
        clip = SeenClip(
            _title(drawn, i, classes),
            audio_start=audio_start,
            audio_duration=drawn["audio_duration"],
            sample_rate=sample_rate,
        )
        if "imgs" in inputs:
            clip.frames = inputs["imgs"][i].permute(1, 2, 3, 0).numpy()
            step = 1 / fps if fps else drawn["clip_duration"] / len(clip.frames)
            clip.times = start + step * np.arange(len(clip.frames))
        if "audio" in inputs:
            clip.log_mel = inputs["audio"][i, 0].numpy()
        if waveforms is not None:
            clip.waveform = waveforms[i]
        clips.append(clip)
    return clips


def _inputs(packed: dict, data_preprocessor: nn.Module | None, training: bool) -> dict[str, Tensor]:
    """What the model gets: imgs uint8 (N, 3, T, H, W), audio (N, 1, num_mels, frames)."""
    batch = default_collate([packed])
    mean = std = None
    # MMAction2's own preprocessors do no more than normalise.
    if data_preprocessor is not None and hasattr(data_preprocessor, "jitter"):
        batch = data_preprocessor(batch, training)
        mean, std = data_preprocessor.mean.cpu(), data_preprocessor.std.cpu()
    inputs = batch["inputs"]
    if isinstance(inputs, Tensor):  # of one modality, with an axis of clips
        inputs = {"imgs" if inputs.ndim == 6 else "audio": inputs}
    seen = {}
    for key, ndim in (("imgs", 4), ("audio", 3)):
        if key in inputs:
            value = inputs[key][0].cpu()
            seen[key] = value[None] if value.ndim == ndim else value
    if "imgs" in seen and mean is not None:
        seen["imgs"] = (seen["imgs"] * std + mean).round().clamp(0, 255).to(torch.uint8)
    return seen


def _title(results: dict, i: int, classes: Sequence[str] | None) -> str:
    """File, class, and where clip ``i`` lies."""
    parts = [Path(results["filename"]).name]
    if "label" in results:
        label = results["label"]
        parts.append(classes[label] if classes else f"class {label}")
    count = len(results["clip_start"])
    if count > 1:
        parts.append(f"clip {i + 1} of {count}")
    start = results["clip_start"][i]
    parts.append(f"at {start:.2f} s of {results['total_duration']:.1f} s")
    offset = results["audio_start"][i] - start
    if offset:
        parts.append(f"sound {offset:+.2f} s")
    flip = results.get("flip", False)
    if flip[i] if isinstance(flip, list) else flip:
        parts.append("flipped")
    return "  ·  ".join(parts)


def browse_sheet(
    clips: Sequence[SeenClip],
    path: str | Path,
    mel_frequencies: Tensor | None = None,
    num_frames: int = 6,
) -> None:
    """Draw clips as the network gets them, one row a clip, and save the picture.

    Pictures at even steps, each with its time, and the spectrogram beside them; marks above it
    tell when the pictures are shown.

    Args:
        clips (Sequence[SeenClip]): The clips, top to bottom.
        path (str | Path): Picture file to write; the ending tells the format.
        mel_frequencies (Tensor | None): Centre of each mel filter, Hz, (num_mels,). Defaults to
            None: filters are counted.
        num_frames (int): Pictures a clip. Defaults to 6.

    Raises:
        ValueError: If there is no clip.
    """
    if not clips:
        raise ValueError("no clips: expected at least one for the sheet")
    ratios = [c.frames.shape[2] / c.frames.shape[1] for c in clips if c.frames is not None]
    columns = num_frames if ratios else 0
    width = _HEIGHT * max(ratios, default=0)
    sound_width = _SOUND_WIDTH if columns else 2 * _SOUND_WIDTH
    sound_left = columns * (width + _GAP) + _FREQUENCIES
    has_sound = any(clip.log_mel is not None for clip in clips)
    row_height = _ABOVE + _HEIGHT + _BELOW
    size = np.array(
        [
            sound_left + sound_width + _MARGIN if has_sound else columns * (width + _GAP),
            row_height * len(clips),
        ]
    )
    with matplotlib.rc_context({"font.size": 8, "font.family": "DejaVu Sans"}):
        figure = Figure(figsize=tuple(size), facecolor="white")
        FigureCanvasAgg(figure)

        def place(left: float, bottom: float, inches: float) -> Axes:
            """Axes of a row, all of the same height."""
            return figure.add_axes((*np.array((left, bottom)) / size, *((inches, _HEIGHT) / size)))

        for row, clip in enumerate(clips):
            bottom = (len(clips) - row - 1) * row_height + _BELOW
            title = np.array((_GAP, bottom + _HEIGHT + 0.08)) / size
            figure.text(*title, clip.title, fontsize=8.5)
            cells = [place(k * (width + _GAP), bottom, width) for k in range(columns)]
            shown = _draw_frames(cells, clip)
            if clip.log_mel is not None:
                _draw_sound(place(sound_left, bottom, sound_width), clip, shown, mel_frequencies)
        save_figure(figure, Path(path))


def _draw_frames(cells: Sequence[Axes], clip: SeenClip) -> np.ndarray:
    """Draw pictures at even steps; returns when they are shown."""
    for ax in cells:
        ax.set_axis_off()
    if clip.frames is None or clip.times is None:
        return np.empty(0)
    chosen = np.linspace(0, len(clip.frames) - 1, len(cells)).round().astype(int)
    for ax, k in zip(cells, chosen, strict=True):
        ax.imshow(clip.frames[k])
        label = ax.text(0.03, 0.04, f"{clip.times[k]:.2f} s", transform=ax.transAxes)
        label.set(color="white", fontsize=7)
        label.set_bbox(dict(facecolor="black", alpha=0.6, pad=1.2, linewidth=0))
    return clip.times[chosen]


def _draw_sound(
    ax: Axes, clip: SeenClip, shown: np.ndarray, mel_frequencies: Tensor | None
) -> None:
    """Draw the spectrogram, without any smoothing, and when the pictures are shown."""
    assert clip.log_mel is not None  # or nothing is drawn
    num_mels = len(clip.log_mel)
    start, end = clip.audio_start, clip.audio_start + clip.audio_duration
    high = np.percentile(clip.log_mel, 99.5)
    # Far below the sound there is only what the codec left: no use for colours.
    low = max(np.percentile(clip.log_mel, 1), high - _RANGE_DB)
    ax.imshow(
        clip.log_mel[::-1],
        extent=(start, end, num_mels, 0),
        aspect="auto",
        interpolation="nearest",
        cmap="magma",
        vmin=low,
        vmax=max(high, low + 1e-6),
    )
    if mel_frequencies is None:
        ax.set_yticks([num_mels, 0], ["0", f"{num_mels}"])
    else:
        frequency_ticks(ax, mel_frequencies, num_mels)
    inside = shown[(shown >= start) & (shown <= end)]
    ax.plot(inside, np.zeros(len(inside)), "v", color="dimgrey", ms=3.5, clip_on=False)
    ax.set(xlim=(start, end), ylim=(num_mels, 0))
    ax.tick_params(labelsize=7, length=2, pad=1.5, colors="dimgrey")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter("{x:g} s")


def save_clip(clip: SeenClip, path: str | Path) -> None:
    """Save a clip as an mp4 file: the pictures as they are seen, and the sound of its span.

    The sound is that before the spectrogram was made of it, so masks are not heard.

    Args:
        clip (SeenClip): The clip.
        path (str | Path): File to write, ending in ``.mp4``.

    Raises:
        ValueError: If the clip has no pictures.
    """
    path = Path(path)
    if clip.frames is None or clip.times is None:
        raise ValueError(f"{path.name}: the clip has no pictures")
    count, height, width = clip.frames.shape[:3]
    seconds = float(clip.times[-1] - clip.times[0])
    rate = Fraction((count - 1) / seconds if seconds else 1).limit_denominator(1001)
    start = min(float(clip.times[0]), clip.audio_start)
    with replacing(path) as temporary:
        options = {"movflags": "faststart"}
        with av.open(f"file:{temporary}", "w", format="mp4", options=options) as out:
            video = out.add_stream("libx264", rate=rate, options={"crf": "16"})
            # 4:2:0, which every player shows, needs even sizes.
            video.width, video.height = width + width % 2, height + height % 2
            video.pix_fmt = "yuv420p"
            video.codec_context.time_base = _CLOCK  # finer than a frame: the sound may be ahead
            sound = None
            if clip.waveform is not None:
                sound = out.add_stream("aac", rate=clip.sample_rate, layout="mono")
            pad = ((0, height % 2), (0, width % 2), (0, 0))
            for time, picture in zip(clip.times.tolist(), clip.frames, strict=True):
                frame = av.VideoFrame.from_ndarray(np.pad(picture, pad, "edge"), format="rgb24")
                frame.pts, frame.time_base = round((time - start) / _CLOCK), _CLOCK
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
            if sound is not None and clip.waveform is not None and clip.sample_rate is not None:
                samples = np.clip(clip.waveform, -1, 1).astype(np.float32)[None]
                frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                frame.sample_rate, frame.time_base = clip.sample_rate, Fraction(1, clip.sample_rate)
                frame.pts = round((clip.audio_start - start) * clip.sample_rate)
                out.mux(sound.encode(frame))
                out.mux(sound.encode(None))
