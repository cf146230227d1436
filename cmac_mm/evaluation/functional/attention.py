"""Scores of attention against the built-in set's true boxes and frequency bands."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class AttentionHits:
    """Share of attention maxima inside the true region, with chance and baselines.

    Attributes:
        hit_rate (float): Share of the judged maps whose maximum meets the ground truth.
        chance (float): Expected hit rate of a cell of the map drawn at random.
        ceiling (float): Hit rate of each map's best cell: below 1 where a small box or a narrow
            band holds no cell's centre.
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
    times: Tensor,
    original_shape: tuple[int, int],
    crop_quadruple: Sequence[float] = (0, 0, 1, 1),
    flip: bool = False,
) -> Tensor:
    """Map boxes from pixels of the source's frames to the frames that the network sees.

    Args:
        boxes (Tensor): x1, y1, x2, y2 of the object in each frame, in source pixels, (frames, 4).
        fps (float): Frame rate of the source, frames per second.
        times (Tensor): Time of each frame of each clip that the network sees, seconds, (N, T). The
            source's last frame goes on past its end.
        original_shape (tuple[int, int]): Height and width of the source as displayed, pixels.
        crop_quadruple (Sequence[float]): x, y, w, h of the crop as fractions of the source.
            Defaults to (0, 0, 1, 1): all of it.
        flip (bool): Whether the crop was flipped horizontally (after cropping). Defaults to False.

    Returns:
        Tensor: x1, y1, x2, y2 as fractions of the crop, clipped to [0, 1], (N, T, 4). NaN where
        the object is outside the crop.

    Raises:
        ValueError: If a shape is wrong, a time is negative, or a size or rate is not positive.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or len(boxes) == 0:
        raise ValueError(f"boxes: expected (frames, 4) with frames > 0, got {tuple(boxes.shape)}")
    if times.ndim != 2 or times.numel() == 0 or times.min() < 0:
        raise ValueError(f"times: expected (N, T) seconds >= 0, got {times}")
    height, width = original_shape
    x, y, w, h = (float(value) for value in crop_quadruple)
    sizes = {"fps": fps, "original_shape": min(height, width), "crop_quadruple": min(w, h)}
    for name, value in sizes.items():
        if value <= 0:
            raise ValueError(f"{name}: expected a positive value, got {value}")

    # Half a millionth of a frame: a time that is a frame's very start must not fall before it.
    index = (times.double() * fps + 5e-7).long().clamp(max=len(boxes) - 1)
    offset = torch.tensor([x, y, x, y], dtype=torch.float64)
    source = torch.tensor([width, height, width, height], dtype=torch.float64)
    scale = torch.tensor([w, h, w, h], dtype=torch.float64)
    mapped = (boxes.double()[index] / source - offset) / scale
    if flip:
        x1, y1, x2, y2 = mapped.unbind(dim=-1)
        mapped = torch.stack((1 - x2, y1, 1 - x1, y2), dim=-1)
    mapped = mapped.clamp(0, 1)
    empty = (mapped[..., 2] <= mapped[..., 0]) | (mapped[..., 3] <= mapped[..., 1])
    return mapped.masked_fill(empty[..., None], torch.nan)


def pointing_game(attention: Tensor, boxes: Tensor) -> AttentionHits:
    """Play the pointing game: share of visual maps whose maximum lies on the sounding object.

    A map resized bilinearly to the picture has its maximum at the centre of its largest cell, so
    that is the point that is judged. One map covers T / T' frames of a clip; it is a hit when the
    point lies in the object's box in any of them, for the object moves meanwhile. Where several
    cells are equally large, each counts with an equal share, so that a constant map scores chance.

    Args:
        attention (Tensor): Attention maps, (N, T', H', W').
        boxes (Tensor): Boxes in the T >= T' frames of the clips, as :func:`boxes_in_crop` gives
            them, (N, T, 4). A map is skipped when all boxes of its frames are NaN.

    Returns:
        AttentionHits: Rates over all N x T' maps that are not skipped.

    Raises:
        ValueError: If shapes do not fit, a map is not finite, or no map has a box.
    """
    shape = tuple(attention.shape)
    if (
        attention.ndim != 4
        or (boxes.ndim, boxes.shape[0], boxes.shape[-1]) != (3, shape[0], 4)
        or boxes.shape[1] < shape[1]
    ):
        raise ValueError(
            "expected attention (N, T', H', W') and boxes (N, T, 4) with T >= T', got "
            f"{shape} and {tuple(boxes.shape)}"
        )
    _check_finite(attention)
    # NaN compares as False: an absent box holds nothing.
    x1, y1, x2, y2 = boxes.double().flatten(0, 1).unbind(dim=-1)
    in_box = _within(_cell_centres(shape[2]), y1, y2)[:, :, None]
    in_box = in_box & _within(_cell_centres(shape[3]), x1, x2)[:, None, :]
    middle = _within(torch.tensor([0.5]), x1, x2) & _within(torch.tensor([0.5]), y1, y2)
    present = ~boxes.isnan().any(dim=-1)
    # From frames to maps: anything that holds in one of a map's frames.
    in_box, middle, present = (
        _any_frame(per_frame.unflatten(0, boxes.shape[:2]), shape[1])
        for per_frame in (in_box, middle, present.flatten())
    )
    if not present.any():
        raise ValueError(
            f"no box to judge by: in all {present.numel()} maps it is outside the crop"
        )
    in_box = in_box[present].flatten(1)
    return AttentionHits(
        hit_rate=_share_of_maxima(attention[present].flatten(1), in_box),
        chance=in_box.double().mean().item(),
        ceiling=in_box.any(dim=1).double().mean().item(),
        centre=middle[present].double().mean().item(),
        count=len(in_box),
        skipped=int((~present).sum()),
    )


def band_hit(attention: Tensor, bands: Tensor, mel_frequencies: Tensor) -> AttentionHits:
    """Compute the share of audio maps whose maximum lies in the sounding object's band.

    Row f of F' stands for the frequency at its middle, interpolated between the centres of the
    mel filters. Equally large cells share, as in :func:`pointing_game`.

    Args:
        attention (Tensor): Audio attention maps, frequency before time, (N, F', T').
        bands (Tensor): Lower and upper frequency of each sound, Hz, (N, 2).
        mel_frequencies (Tensor): Centre of each mel filter, Hz, rising, (num_mels,).

    Returns:
        AttentionHits: Rates over the N maps; ``chance`` is the mean share of map rows whose
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
    return AttentionHits(
        hit_rate=_share_of_maxima(attention.flatten(1), cells.flatten(1)),
        chance=in_band.double().mean().item(),
        ceiling=in_band.any(dim=1).double().mean().item(),
        centre=None,
        count=len(attention),
        skipped=0,
    )


def row_frequencies(mel_frequencies: Tensor, num_rows: int) -> Tensor:
    """Compute the frequency of each row of an audio attention map.

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
    """Compute the centre of each mel filter, the mean frequency of its response.

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


def _any_frame(holds: Tensor, num_steps: int) -> Tensor:
    """Reduce frames (N, T, ...) to steps (N, T', ...): frame i belongs to step i T' / T."""
    frames = holds.shape[1]
    step = torch.arange(frames) * num_steps // frames
    steps = [holds[:, step == i].any(dim=1) for i in range(num_steps)]
    return torch.stack(steps, dim=1)


def _share_of_maxima(maps: Tensor, hit: Tensor) -> float:
    """Mean over maps (N, cells) of the share of their maximal cells that are hits."""
    maximal = maps == maps.amax(dim=1, keepdim=True)
    share = (maximal & hit).sum(dim=1).double() / maximal.sum(dim=1)
    return share.mean().item()
