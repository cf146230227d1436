"""Attention maps drawn over pictures."""

import matplotlib
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def resize_attention(attention: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize an attention map bilinearly, as the pointing game understands it.

    Args:
        attention (Tensor): One map, (H', W').
        size (tuple[int, int]): Height and width to reach, pixels.

    Returns:
        Tensor: The map at that size, (H, W), float32.

    Raises:
        ValueError: If the map is not two-dimensional or has values that are not finite.
    """
    _check_map(attention)
    resized = F.interpolate(
        attention.detach().cpu().float()[None, None], size, mode="bilinear", align_corners=False
    )
    return resized[0, 0]


def _check_map(attention: Tensor) -> None:
    """Refuse what is not one attention map."""
    if attention.ndim != 2 or not torch.isfinite(attention).all():
        raise ValueError(
            f"attention: expected one finite map (H', W'), got shape {tuple(attention.shape)} with "
            f"{int((~torch.isfinite(attention)).sum())} values that are not finite"
        )


def overlay_attention(
    frame: np.ndarray, attention: Tensor, colormap: str = "inferno", strength: float = 0.85
) -> np.ndarray:
    """Draw an attention map over a dimmed picture.

    The map is stretched to its own range, so that a weak one is seen as well; a constant map shows
    no heat. Its values are not comparable between two pictures.

    Args:
        frame (np.ndarray): Picture, (H, W, 3) uint8.
        attention (Tensor): Attention map of any size, (H', W').
        colormap (str): Name of a matplotlib colour map. Defaults to 'inferno'.
        strength (float): Opacity of the heat at the map's maximum, in [0, 1]. Defaults to 0.85.

    Returns:
        np.ndarray: The overlaid picture, (H, W, 3) uint8.

    Raises:
        ValueError: If the picture is not (H, W, 3) uint8, or the map is not a finite (H', W').
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(f"frame: expected (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
    _check_map(attention)
    # Stretched before resizing, so that the largest cell is at 1 whatever the target's size.
    low, high = attention.min(), attention.max()
    stretched = (attention - low) / (high - low) if high > low else torch.zeros_like(attention)
    return lay_heat(frame, resize_attention(stretched, frame.shape[:2]).numpy(), colormap, strength)


def lay_heat(
    frame: np.ndarray, heat: np.ndarray, colormap: str = "inferno", strength: float = 0.85
) -> np.ndarray:
    """Draw heat over a dimmed picture.

    Args:
        frame (np.ndarray): Picture, (H, W, 3) uint8.
        heat (np.ndarray): Heat from 0 to 1 of each pixel, (H, W) float.
        colormap (str): Name of a matplotlib colour map. Defaults to 'inferno', whose colours also
            the colour-blind tell apart by their brightness.
        strength (float): Opacity where the heat is 1, in [0, 1]. Defaults to 0.85.

    Returns:
        np.ndarray: The overlaid picture, (H, W, 3) uint8.
    """
    steps = np.arange(256) / 255
    # Squared, so that the peaks stand out and the scene shows through the rest.
    opacity = (strength * steps**2).astype(np.float32)
    colour = 255 * matplotlib.colormaps[colormap](steps)[:, :3].astype(np.float32)
    level = np.round(255 * heat).astype(np.uint8)
    # Dimming towards grey sets colours of the scene apart from colours of the map.
    grey = frame.mean(axis=2, keepdims=True, dtype=np.float32)
    dimmed = 0.9 * (0.6 * frame.astype(np.float32) + 0.4 * grey)
    laid = dimmed * (1 - opacity)[level][..., None] + (opacity[:, None] * colour)[level]
    return np.round(laid).astype(np.uint8)
