"""Does attention find the sounding object? Scores against the built-in set's ground truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LocalisationResult:
    """Share of attention maxima that meet the ground truth, and what to compare it with.

    Attributes:
        hit_rate (float): Share of the judged maps whose maximum lies in the ground truth.
        chance (float): Expected hit rate of a point drawn at random.
        ceiling (float): Hit rate of the best point on the map's grid: a small box or a narrow band
            may hold no cell centre of a coarse map.
        centre (float | None): Hit rate of always pointing at the middle of the picture; None for
            sound.
        count (int): Judged maps.
        skipped (int): Maps not judged, as the object is outside the crop.
    """

    hit_rate: float
    chance: float
    ceiling: float
    centre: float | None
    count: int
    skipped: int


def boxes_in_crop(
    boxes: Tensor,
    fps: float,
    original_shape: tuple[int, int],
    crop_quadruple: Sequence[float],
    flip: bool,
    clip_start: Sequence[float],
    clip_duration: float,
    num_steps: int,
) -> Tensor:
    """Map per-frame boxes in source pixels to what the network's attention map covers.

    Attention step t of a clip that starts at s and lasts D seconds covers
    [s + t D / T', s + (t + 1) D / T'); its box is the mean over the frames in that span (the
    nearest frame, if the span holds none; the last frame, past the video's end).

    Args:
        boxes (Tensor): x1, y1, x2, y2 of the object in each frame, in source pixels, (frames, 4).
        fps (float): Frame rate of the source, frames per second.
        original_shape (tuple[int, int]): Height and width of the source as displayed, pixels.
        crop_quadruple (Sequence[float]): x, y, w, h of the crop as fractions of the source.
        flip (bool): Whether the crop was flipped horizontally (after cropping).
        clip_start (Sequence[float]): Start of each of the N clips, seconds.
        clip_duration (float): Length of a clip, seconds.
        num_steps (int): Temporal size T' of the attention map.

    Returns:
        Tensor: x1, y1, x2, y2 as fractions of the crop, clipped to [0, 1], (N, T', 4). NaN where
        the object is outside the crop.

    Raises:
        ValueError: If ``boxes`` is not (frames, 4) with frames > 0, or a size, rate or duration
            is not positive.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) == 0:
        raise ValueError(f"boxes: expected (frames, 4) with frames > 0, got {tuple(boxes.shape)}")
    height, width = original_shape
    x, y, w, h = (float(value) for value in crop_quadruple)
    positive = {
        "fps": fps,
        "clip_duration": clip_duration,
        "num_steps": num_steps,
        "original_shape": min(height, width),
        "crop_quadruple": min(w, h),
    }
    for name, value in positive.items():
        if value <= 0:
            raise ValueError(f"{name}: expected a positive value, got {value}")

    edges = torch.arange(num_steps + 1, dtype=torch.float64) * (clip_duration / num_steps)
    edges = torch.as_tensor(list(clip_start), dtype=torch.float64)[:, None] + edges
    frame_centre = (torch.arange(len(boxes), dtype=torch.float64) + 0.5) / fps
    start, end = edges[:, :-1, None], edges[:, 1:, None]
    inside = (frame_centre >= start) & (frame_centre < end)  # (N, T', frames)
    nearest = (frame_centre - (start + end) / 2).abs().argmin(dim=2)
    nearest = torch.nn.functional.one_hot(nearest, len(boxes)).bool()
    weight = torch.where(inside.any(dim=2, keepdim=True), inside, nearest).double()
    mean = (weight / weight.sum(dim=2, keepdim=True)) @ boxes.double()

    offset = torch.tensor([x, y, x, y], dtype=torch.float64)
    source = torch.tensor([width, height, width, height], dtype=torch.float64)
    scale = torch.tensor([w, h, w, h], dtype=torch.float64)
    mapped = (mean / source - offset) / scale
    if flip:
        mapped = torch.stack(
            (1 - mapped[..., 2], mapped[..., 1], 1 - mapped[..., 0], mapped[..., 3]), -1
        )
    mapped = mapped.clamp(0, 1)
    empty = (mapped[..., 2] <= mapped[..., 0]) | (mapped[..., 3] <= mapped[..., 1])
    return mapped.masked_fill(empty[..., None], torch.nan)


def pointing_game(attention: Tensor, boxes: Tensor) -> LocalisationResult:
    """Pointing game: does the maximum of visual attention lie in the sounding object's box?

    A map resized bilinearly to the picture has its maximum at the centre of its largest cell, so
    that is the point that is judged. Where several cells are equally large, each of them counts
    with an equal share: a constant map scores the rate of its grid, not that of a corner.

    Args:
        attention (Tensor): Attention maps, (N, T', H', W').
        boxes (Tensor): Boxes as :func:`boxes_in_crop` gives them, (N, T', 4); NaN is skipped.

    Returns:
        LocalisationResult: Rates over all maps with a box; ``chance`` is the boxes' mean area.

    Raises:
        ValueError: If shapes do not fit, a map is not finite, or no map has a box.
    """
    if attention.ndim != 4 or boxes.shape != (*attention.shape[:2], 4):
        raise ValueError(
            "expected attention (N, T', H', W') and boxes (N, T', 4), got "
            f"{tuple(attention.shape)} and {tuple(boxes.shape)}"
        )
    _check_finite(attention)
    boxes = boxes.double()
    present = ~boxes.isnan().any(dim=-1)
    if not present.any():
        raise ValueError(f"no box to judge by: all {present.numel()} objects are outside the crop")
    x1, y1, x2, y2 = boxes[present].unbind(dim=-1)
    maps = attention[present]
    height, width = maps.shape[1:]
    in_box = _within(_cell_centres(height), y1, y2)[:, :, None]
    in_box = in_box & _within(_cell_centres(width), x1, x2)[:, None, :]
    middle = (x1 <= 0.5) & (x2 >= 0.5) & (y1 <= 0.5) & (y2 >= 0.5)
    return LocalisationResult(
        hit_rate=_share_of_maxima(maps.flatten(1), in_box.flatten(1)),
        chance=((x2 - x1) * (y2 - y1)).mean().item(),
        ceiling=in_box.flatten(1).any(dim=1).double().mean().item(),
        centre=middle.double().mean().item(),
        count=len(maps),
        skipped=int((~present).sum()),
    )


def band_hit(attention: Tensor, bands: Tensor, mel_frequencies: Tensor) -> LocalisationResult:
    """Does the maximum of audio attention lie in the frequency band of the sounding object?

    Row f of F' stands for the frequency at its middle, interpolated between the centres of the
    mel filters. Equally large cells share, as in :func:`pointing_game`.

    Args:
        attention (Tensor): Audio attention maps, frequency before time, (N, F', T').
        bands (Tensor): Lower and upper frequency of each sound, Hz, (N, 2).
        mel_frequencies (Tensor): Centre of each mel filter, Hz, rising, (num_mels,).

    Returns:
        LocalisationResult: Rates over the N maps; ``chance`` is the mean share of map rows whose
        frequency lies within the band.

    Raises:
        ValueError: If shapes do not fit, a map is not finite, or there is no map.
    """
    if attention.ndim != 3 or len(attention) == 0 or bands.shape != (len(attention), 2):
        raise ValueError(
            "expected attention (N, F', T') with N > 0 and bands (N, 2), got "
            f"{tuple(attention.shape)} and {tuple(bands.shape)}"
        )
    _check_finite(attention)
    rows = row_frequencies(mel_frequencies, attention.shape[1])
    low, high = bands.double().unbind(dim=-1)
    in_band = _within(rows, low, high)  # (N, F')
    cells = in_band[:, :, None].expand(attention.shape)
    return LocalisationResult(
        hit_rate=_share_of_maxima(attention.flatten(1), cells.flatten(1)),
        chance=in_band.double().mean().item(),
        ceiling=in_band.any(dim=1).double().mean().item(),
        centre=None,
        count=len(attention),
        skipped=0,
    )


def row_frequencies(mel_frequencies: Tensor, num_rows: int) -> Tensor:
    """Frequency that each row of an audio attention map stands for.

    Args:
        mel_frequencies (Tensor): Centre of each mel filter, Hz, (num_mels,).
        num_rows (int): Rows F' of the map, which together cover all filters.

    Returns:
        Tensor: Frequency at the middle of each row, Hz, (F',).

    Raises:
        ValueError: If there are more rows than filters.
    """
    frequencies = mel_frequencies.double()
    if frequencies.ndim != 1 or not 1 <= num_rows <= len(frequencies):
        raise ValueError(
            f"expected 1 to num_mels rows and frequencies (num_mels,), got {num_rows} rows and "
            f"{tuple(frequencies.shape)}"
        )
    position = _cell_centres(num_rows) * len(frequencies) - 0.5
    below = position.floor().long().clamp(0, len(frequencies) - 1)
    above = (below + 1).clamp(max=len(frequencies) - 1)
    return torch.lerp(frequencies[below], frequencies[above], position - below)


def filter_frequencies(filters: Tensor, sample_rate: int) -> Tensor:
    """Centre of each mel filter: the mean frequency of its response.

    Args:
        filters (Tensor): Response of each filter at evenly spaced frequencies from 0 to half the
            sampling rate, (bins, num_mels), as torchaudio's ``MelScale.fb`` has it.
        sample_rate (int): Sampling rate, Hz.

    Returns:
        Tensor: Centre of each filter, Hz, (num_mels,).
    """
    frequencies = torch.linspace(0, sample_rate / 2, len(filters), dtype=torch.float64)
    return frequencies @ filters.double() / filters.double().sum(dim=0)


def _check_finite(attention: Tensor) -> None:
    """Refuse maps without a meaningful maximum."""
    bad = ~torch.isfinite(attention).flatten(1).all(dim=1)
    if bad.any():
        raise ValueError(f"attention: map {int(bad.nonzero()[0])} has values that are not finite")


def _cell_centres(size: int) -> Tensor:
    """Centres of ``size`` equal cells, as fractions of the axis."""
    return (torch.arange(size, dtype=torch.float64) + 0.5) / size


def _within(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Which of the values (S,) lie in each range [low, high] (N,): (N, S)."""
    return (values >= low[:, None]) & (values <= high[:, None])


def _share_of_maxima(maps: Tensor, hit: Tensor) -> float:
    """Mean over maps (N, cells) of the share of their maximal cells that are hits."""
    maximal = maps == maps.amax(dim=1, keepdim=True)
    share = (maximal & hit).sum(dim=1).double() / maximal.sum(dim=1)
    return share.mean().item()
