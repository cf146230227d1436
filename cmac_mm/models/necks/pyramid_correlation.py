"""Pyramid correlation filtering (CMAC, eq. 4)."""

import torch
import torch.nn.functional as F
from torch import Tensor

NORMS = ("cosine", "softmax", "none")


def correlation_response(kernel: Tensor, feature_map: Tensor, norm: str = "cosine") -> Tensor:
    """Correlate one filter with every position of a feature map (CMAC, eq. 4).

    Args:
        kernel (Tensor): Filters `(B, C)`.
        feature_map (Tensor): Features `(B, C, *S)` of any number of axes.
        norm (str): ``'cosine'``: cosine similarity over channels, mapped to (1 + cos) / 2;
            ``'softmax'``: softmax of the response over all positions; ``'none'``: plain response.

    Returns:
        Tensor: Response `(B, *S)`.
    """
    if norm == "cosine":
        kernel = F.normalize(kernel, dim=1)
        length = torch.linalg.vector_norm(feature_map, dim=1).clamp_min(1e-12)
        return (1 + torch.einsum("bc,bc...->b...", kernel, feature_map) / length) / 2
    response = torch.einsum("bc,bc...->b...", kernel, feature_map)
    if norm == "softmax":
        return response.flatten(1).softmax(dim=1).view_as(response)
    return response


def pyramid_correlation(
    kernel: Tensor, feature_map: Tensor, norm: str = "cosine", num_scales: int = 2
) -> Tensor:
    """Compute guided attention: responses averaged over scales (CMAC, eq. 4 and figure 3).

    At each further scale the feature map is average-pooled to ``max(1, size // 2)`` on every axis,
    the response computed again and resized back (tri- or bilinear). With ``norm='softmax'`` a
    coarser scale spreads its unit mass over fewer positions, and so weighs more.

    Args:
        kernel (Tensor): Filters of the guiding modality `(B, C)`.
        feature_map (Tensor): Features of the guided one: `(B, C, T, H, W)` or `(B, C, F, T)`.
        norm (str): See :func:`correlation_response`. Defaults to ``'cosine'``.
        num_scales (int): Number of scales. Defaults to 2.

    Returns:
        Tensor: Attention `(B, T, H, W)` or `(B, F, T)`, float32 (float64 for float64 input); within
        [0, 1] unless ``norm='none'``.
    """
    # A few thousand products a clip: full precision costs nothing, also under mixed precision.
    with torch.autocast(kernel.device.type, enabled=False):
        if kernel.dtype != torch.float64:
            kernel, feature_map = kernel.float(), feature_map.float()
        return _pyramid(kernel, feature_map, norm, num_scales)


def _pyramid(kernel: Tensor, feature_map: Tensor, norm: str, num_scales: int) -> Tensor:
    size = feature_map.shape[2:]
    video = len(size) == 3
    pool = F.adaptive_avg_pool3d if video else F.adaptive_avg_pool2d
    mode = "trilinear" if video else "bilinear"
    attention = correlation_response(kernel, feature_map, norm)
    for _ in range(num_scales - 1):
        feature_map = pool(feature_map, [max(1, length // 2) for length in feature_map.shape[2:]])
        response = correlation_response(kernel, feature_map, norm).unsqueeze(1)
        response = F.interpolate(response, size=size, mode=mode, align_corners=False)
        attention = attention + response.squeeze(1)
    return attention / num_scales
