"""Pictures of attention in frames and spectrograms, one row a video."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.structures import BaseDataElement
from torch import Tensor

from ..utils.files import replacing
from .attention import overlay_attention, resize_attention

_TITLES = {
    "frame": "middle frame",
    "guided_visual_attention": "guided by sound",
    "predicted_visual_attention": "predicted",
    "log_mel": "log-mel",
    "guided_audio_attention": "guided by picture",
    "predicted_audio_attention": "predicted",
}
_TRUTH = "#39ff88"
_CELL = 1.9  # inches
_RANGE_DB = 60.0
_DPI = 130
_TICKS_HZ = (100, 200, 500, 1000, 2000, 5000, 10000)


@dataclass
class SheetRow:
    """Row of the picture.

    Attributes:
        title (str): Text at the left, e.g. the kind of the sounding object.
        frame (np.ndarray): Picture, (H, W, 3) uint8.
        log_mel (np.ndarray): Spectrogram in dB, lowest frequency first, (num_mels, frames).
        attention (dict[str, Tensor]): Any of ``guided_visual_attention``,
            ``predicted_visual_attention`` (H', W'), ``guided_audio_attention`` and
            ``predicted_audio_attention`` (F', T').
        box (Sequence[float] | None): True box of the sounding object, x1, y1, x2, y2 as fractions
            of the picture. Defaults to None: unknown or outside.
        band_hz (Sequence[float] | None): True frequency band, Hz. Defaults to None: unknown.
    """

    title: str
    frame: np.ndarray
    log_mel: np.ndarray
    attention: dict[str, Tensor] = field(default_factory=dict)
    box: Sequence[float] | None = None
    band_hz: Sequence[float] | None = None


def sheet_row(
    inputs: Mapping[str, Tensor],
    sample: BaseDataElement,
    title: str,
    boxes: Tensor | None = None,
    band_hz: Sequence[float] | None = None,
) -> SheetRow:
    """Take the middle of a video's first clip, with its attention, as a row.

    Args:
        inputs (Mapping[str, Tensor]): What the network got: ``imgs`` (C, T, H, W) or
            (N, C, T, H, W) uint8 and ``audio`` (1, num_mels, frames) or (N, 1, num_mels, frames).
        sample (BaseDataElement): The prediction, with attention maps.
        title (str): Text of the row.
        boxes (Tensor | None): Boxes in the clips' frames, (N, T, 4), as
            :func:`cmac_mm.evaluation.functional.boxes_in_crop` gives them. Defaults to None.
        band_hz (Sequence[float] | None): True frequency band, Hz. Defaults to None.

    Returns:
        SheetRow: The row.

    Raises:
        ValueError: If a modality is missing.
    """
    missing = {"imgs", "audio"} - set(inputs)
    if missing:
        raise ValueError(f"inputs lack {sorted(missing)}: a sheet needs picture and sound")
    clip = inputs["imgs"].reshape(-1, *inputs["imgs"].shape[-4:])[0]
    log_mel = inputs["audio"].reshape(-1, *inputs["audio"].shape[-2:])[0]
    middle = clip.shape[1] // 2
    attention = {}
    for key in _TITLES:
        if key not in sample:
            continue
        maps = sample.get(key)[0]
        if key.endswith("visual_attention"):
            maps = maps[middle * len(maps) // clip.shape[1]]
        attention[key] = maps
    box = None
    if boxes is not None and not boxes[0, middle].isnan().any():
        box = boxes[0, middle].tolist()
    return SheetRow(
        title=title,
        frame=clip[:, middle].permute(1, 2, 0).cpu().numpy(),
        log_mel=log_mel.cpu().numpy(),
        attention=attention,
        box=box,
        band_hz=band_hz,
    )


def attention_sheet(
    rows: Sequence[SheetRow],
    path: str | Path,
    mel_frequencies: Tensor,
    duration: float | None = None,
) -> None:
    """Draw frames and spectrograms with guided and predicted attention, and save the picture.

    One row a video: middle frame, guided and predicted visual attention on it, spectrogram, guided
    and predicted audio attention on it. Green marks the truth: the sounding object's box and its
    frequency band. A cross marks an attention map's maximum, numbers below give its range.
    Columns that no row has (a network without saliency heads predicts nothing) are left out.

    Args:
        rows (Sequence[SheetRow]): The rows, top to bottom.
        path (str | Path): Picture file to write; the ending tells the format.
        mel_frequencies (Tensor): Centre of each mel filter, Hz, (num_mels,).
        duration (float | None): Length of the sound, seconds. Defaults to None: the time axis has
            no numbers.

    Raises:
        ValueError: If there is no row.
    """
    save_figure(_draw_sheet(rows, mel_frequencies, duration), Path(path))


def sheet_image(
    rows: Sequence[SheetRow], mel_frequencies: Tensor, duration: float | None = None
) -> np.ndarray:
    """Draw the picture of :func:`attention_sheet` as an array (H, W, 3), uint8.

    Args:
        rows (Sequence[SheetRow]): The rows, top to bottom.
        mel_frequencies (Tensor): Centre of each mel filter, Hz, (num_mels,).
        duration (float | None): Length of the sound, seconds. Defaults to None: the time axis has
            no numbers.

    Raises:
        ValueError: If there is no row.
    """
    figure = _draw_sheet(rows, mel_frequencies, duration)
    figure.set_dpi(_DPI)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


def _draw_sheet(
    rows: Sequence[SheetRow], mel_frequencies: Tensor, duration: float | None
) -> Figure:
    if not rows:
        raise ValueError("no rows: expected at least one video for the sheet")
    columns = [
        key
        for key in _TITLES
        if key in ("frame", "log_mel") or any(key in row.attention for row in rows)
    ]
    with matplotlib.rc_context({"font.size": 10, "font.family": "DejaVu Sans"}):
        figure = Figure(
            figsize=(_CELL * len(columns) + 1.6, _CELL * 1.08 * len(rows) + 0.8),
            layout="constrained",
            facecolor="white",
        )
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(rows), len(columns), squeeze=False)
        for row, axes in zip(rows, grid, strict=True):
            for key, ax in zip(columns, axes, strict=True):
                _draw(ax, key, row, mel_frequencies)
            axes[0].set_ylabel(
                row.title, rotation=0, ha="right", va="center", fontweight="bold", labelpad=10
            )
        for key, ax in zip(columns, grid[0], strict=True):
            ax.set_title(_TITLES[key], fontsize=11, pad=8)
        if duration is not None:
            ax = grid[-1, columns.index("log_mel")]
            ax.set_xticks(
                [share * ax.get_xlim()[1] for share in (0, 0.5, 1)],
                [f"{share * duration:g}" for share in (0, 0.5, 1)],
            )
            ax.set_xlabel("seconds", fontsize=9, color="dimgrey", labelpad=1)
        return figure


def _draw(ax: Axes, key: str, row: SheetRow, mel_frequencies: Tensor) -> None:
    """Draw one cell of the sheet."""
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(False)
    attention = row.attention.get(key)
    if key not in ("frame", "log_mel") and attention is None:
        ax.text(0.5, 0.5, "none", ha="center", va="center", color="grey")
        return
    visual = key == "frame" or key.endswith("visual_attention")
    picture = row.frame if visual else spectrogram_picture(row.log_mel, coloured=key == "log_mel")
    if attention is not None:
        shown = attention if visual else attention.flip(0)  # pictures start at the top
        picture = overlay_attention(picture, shown)
        low, high = attention.min().item(), attention.max().item()
        ax.set_xlabel(f"{low:.2f} to {high:.2f}", fontsize=9, color="dimgrey", labelpad=3)
    height, width = picture.shape[:2]
    # Edges at 0 and the size: a cell's centre is at index + 0.5.
    ax.imshow(picture, extent=(0, width, height, 0), aspect="equal" if visual else "auto")
    if attention is not None:
        cell = divmod(int(shown.argmax()), shown.shape[1])
        y, x = ((i + 0.5) / n for i, n in zip(cell, shown.shape, strict=True))
        for colour, size in (("black", 3.5), ("white", 1.8)):
            ax.plot(x * width, y * height, "+", color=colour, ms=10, mew=size)
    if visual:
        _mark_box(ax, row.box, width, height)
    else:
        _mark_band(ax, row.band_hz, mel_frequencies, width, height)
    if key == "log_mel":
        frequency_ticks(ax, mel_frequencies, height)
        ax.tick_params(labelsize=8, length=2, colors="dimgrey")
    ax.set(xlim=(0, width), ylim=(height, 0))


def spectrogram_picture(log_mel: np.ndarray, coloured: bool) -> np.ndarray:
    """Turn a spectrogram into a picture with the lowest frequency at the bottom, at least 256 high.

    Small spectrograms are enlarged, so that the overlay's bilinear slopes are smooth.

    Args:
        log_mel (np.ndarray): Spectrogram in dB, lowest frequency first, (num_mels, frames).
        coloured (bool): In colours, not in grey.

    Returns:
        np.ndarray: Picture, (H, W, 3) uint8.
    """
    high = np.percentile(log_mel, 99.5)
    # Far below the sound there is only what the codec left: no use for colours.
    low = max(np.percentile(log_mel, 2), high - _RANGE_DB)
    scaled = np.clip((log_mel[::-1] - low) / max(high - low, 1e-6), 0, 1)
    size = tuple(max(n, 256) for n in scaled.shape)
    scaled = resize_attention(torch.from_numpy(scaled.copy()), size).numpy()
    colours = matplotlib.colormaps["magma" if coloured else "gray"](scaled)
    return np.round(255 * colours[..., :3]).astype(np.uint8)


def _mark_box(ax: Axes, box: Sequence[float] | None, width: int, height: int) -> None:
    """Draw the true box with a dark outline, so that it shows on any background."""
    if box is None:
        return
    x1, y1, x2, y2 = (value * size for value, size in zip(box, (width, height) * 2, strict=True))
    for colour, line in (("black", 3.0), (_TRUTH, 1.6)):
        ax.add_patch(
            Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=line)
        )


def _mel_position(frequency: float, mel_frequencies: Tensor) -> float:
    """Height of a frequency on the mel axis, as a fraction from the lowest filter's edge."""
    mels = mel_frequencies.numpy().astype(float)
    index = np.interp(frequency, mels, np.arange(len(mels)), left=-0.5, right=len(mels) - 0.5)
    return float((index + 0.5) / len(mels))


def _mark_band(
    ax: Axes, band_hz: Sequence[float] | None, mel_frequencies: Tensor, width: int, height: int
) -> None:
    """Draw the limits of the true frequency band."""
    for frequency in band_hz or ():
        y = height * (1 - _mel_position(frequency, mel_frequencies))
        for colour, line in (("black", 2.6), (_TRUTH, 1.4)):
            ax.plot([0, width], [y, y], color=colour, linewidth=line, clip_on=False)


def frequency_ticks(ax: Axes, mel_frequencies: Tensor, height: int) -> None:
    """Label the mel axis in Hz.

    Args:
        ax (Axes): Axes whose y runs from 0, the top, to ``height``, the lowest frequency.
        mel_frequencies (Tensor): Centre of each mel filter, Hz, (num_mels,).
        height (int): Extent of the axis.
    """
    low, high = mel_frequencies[0].item(), mel_frequencies[-1].item()
    ticks = [hz for hz in _TICKS_HZ if low <= hz <= high]
    positions = [height * (1 - _mel_position(hz, mel_frequencies)) for hz in ticks]
    labels = [f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz" for hz in ticks]
    # Labels closer than a twelfth of the axis would overlap.
    kept, last = [], math.inf
    for position, label in zip(positions, labels, strict=True):
        if last - position >= height / 12:
            kept.append((position, label))
            last = position
    ax.set_yticks([position for position, _ in kept], [label for _, label in kept])


def save_figure(figure: Figure, path: Path) -> None:
    """Write the picture under a temporary name, then move it into place."""
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, format=path.suffix.removeprefix("."))
