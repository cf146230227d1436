"""Localisation scores of visual attention, as on VGG-SS and Flickr-SoundNet."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_THRESHOLDS = torch.linspace(0, 1, 21, dtype=torch.float64)


def predicted_region(maps: Tensor, size: int = 224) -> Tensor:
    """Threshold each map at its median: the upper half is the predicted region.

    A map is resized bilinearly and cut at its median, the pixel of rank ``size**2 // 2``; pixels
    equal to that belong to the region, all of a constant map. (Scaling a map to [0, 1] first, as
    the field's protocol does, changes nothing.)

    Args:
        maps (Tensor): Attention maps, (N, H, W).
        size (int): Side of the square region, pixels. Defaults to 224.

    Returns:
        Tensor: bool, (N, size, size).

    Raises:
        ValueError: If the shape is wrong, or a map is not finite.
    """
    if maps.ndim != 3 or maps.numel() == 0:
        raise ValueError(f"expected maps (N, H, W), got {tuple(maps.shape)}")
    bad = ~torch.isfinite(maps).flatten(1).all(dim=1)
    if bad.any():
        raise ValueError(f"map {int(bad.nonzero()[0])} has values that are not finite")
    resized = F.interpolate(maps[:, None].float(), (size, size), mode="bilinear")[:, 0]
    median = resized.flatten(1).kthvalue(size**2 // 2 + 1, dim=1).values
    return resized >= median[:, None, None]


def box_region(boxes: Tensor, size: int = 224) -> Tensor:
    """Rasterise the boxes of a picture: pixels that lie in any of them.

    A box covers the pixels from ``floor(size * x1)`` up to but without ``floor(size * x2)``, with
    its ends cut to the picture, as in the code that the field's figures were computed with. One
    that is thinner than that, or turned around, covers none; nor does one with NaN.

    Args:
        boxes (Tensor): x1, y1, x2, y2 as fractions of the picture, (..., K, 4).
        size (int): Side of the square region, pixels. Defaults to 224.

    Returns:
        Tensor: bool, (..., size, size).

    Raises:
        ValueError: If the shape is wrong.
    """
    if boxes.ndim < 2 or boxes.shape[-1] != 4:
        raise ValueError(f"expected boxes (..., K, 4), got {tuple(boxes.shape)}")
    x1, y1, x2, y2 = (size * boxes.double().clamp(0, 1)).floor().unbind(dim=-1)
    pixels = torch.arange(size)
    columns = (pixels >= x1[..., None]) & (pixels < x2[..., None])
    rows = (pixels >= y1[..., None]) & (pixels < y2[..., None])
    return (rows[..., :, None] & columns[..., None, :]).any(dim=-3)


def consensus_map(boxes: Sequence[Sequence[Sequence[float]]], consensus: int = 1) -> Tensor:
    """Combine annotators' boxes into a map of consensus, one value a pixel.

    Args:
        boxes (Sequence): For each annotator the boxes x1, y1, x2, y2 as fractions of the picture;
            none where nothing was drawn.
        consensus (int): Annotators whose agreement makes a pixel count in full; fewer count in
            part. Defaults to 1. Flickr-SoundNet: 2.

    Returns:
        Tensor: Values in [0, 1], float64 (224, 224).

    Raises:
        ValueError: If ``consensus`` is not positive.
    """
    if consensus < 1:
        raise ValueError(f"consensus must be 1 or more, got {consensus}")
    votes = torch.zeros(224, 224, dtype=torch.float64)
    for own in boxes:
        votes += box_region(torch.tensor(own, dtype=torch.float64).view(-1, 4))
    return (votes / consensus).clamp(max=1)


def consensus_iou(regions: Tensor, truths: Tensor) -> Tensor:
    """Compute the consensus IoU of each picture.

    Args:
        regions (Tensor): bool, (N, H, W), as :func:`predicted_region` gives them.
        truths (Tensor): Values in [0, 1], (N, H, W).

    Returns:
        Tensor: float64 (N,) in [0, 1]; 0 where there is no truth.

    Raises:
        ValueError: If the shapes differ.
    """
    if regions.shape != truths.shape:
        raise ValueError(
            f"regions and truths differ in shape: {tuple(regions.shape)}, {tuple(truths.shape)}"
        )
    truths = truths.double()
    inside = (regions * truths).flatten(1).sum(dim=1)
    outside = (regions & (truths == 0)).flatten(1).sum(dim=1)
    return inside / (truths.flatten(1).sum(dim=1) + outside).clamp(min=1e-12)


def localisation_scores(cious: Tensor) -> dict[str, float]:
    """Summarise the cIoU of all pictures: share above 0.5, mean, AUC.

    Args:
        cious (Tensor): cIoU of each picture, (N,).

    Returns:
        dict[str, float]: ``cIoU``, the share of pictures where it is 0.5 or more (the field's
        "cIoU", or AP50); ``mean_cIoU``; ``AUC``, the area under the share as a function of that
        threshold, at 0, 0.05, ... 1, by trapezoids.

    Raises:
        ValueError: If there are no pictures.
    """
    if cious.ndim != 1 or len(cious) == 0:
        raise ValueError(f"expected the cIoU of one or more pictures (N,), got {cious.shape}")
    cious = cious.double()
    shares = (cious[:, None] >= _THRESHOLDS).double().mean(dim=0)
    return {
        "cIoU": (cious >= 0.5).double().mean().item(),
        "mean_cIoU": cious.mean().item(),
        "AUC": torch.trapezoid(shares, _THRESHOLDS).item(),
    }


def centre_maps(maps: Tensor) -> Tensor:
    """Make maps that fall with the distance from the centre: a baseline without audio.

    Args:
        maps (Tensor): Attention maps, (N, H, W).
    """
    height, width = maps.shape[1:]
    y = (torch.arange(height) + 0.5) / height - 0.5
    x = (torch.arange(width) + 0.5) / width - 0.5
    return -(y[:, None].square() + x.square()).expand(maps.shape)


def random_maps(maps: Tensor, seed: int = 0) -> Tensor:
    """Make maps of random values: chance.

    Args:
        maps (Tensor): Attention maps, (N, H, W).
        seed (int): Of the draw. Defaults to 0.
    """
    return torch.rand(maps.shape, generator=torch.Generator().manual_seed(seed))
