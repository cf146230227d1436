"""Last feature map of any backbone, and checks of what it returns."""

from itertools import pairwise

import torch.nn as nn
from torch import Tensor

_INPUTS = {5: "clips", 4: "spectrograms"}
_AXES = {5: "(B, C, T, H, W)", 4: "(B, C, F, T)"}
_HINTS = {
    "VisionTransformer": "set return_feat_map=True",
    "TimeSformer": "it keeps no map: use another, such as VisionTransformer with "
    "return_feat_map=True",
    "UniFormerV2": "it keeps no map: use another, such as UniFormer",
    "ResNet3dSlowFast": "its two pathways are two networks: use one, such as ResNet3dSlowOnly",
}
_NETWORKS = {
    5: "a 3-D network, such as ResNet3dSlowOnly",
    4: "a 2-D network with one input channel, such as AudioResNet or ResNetAudio",
}


def run_encoder(backbone: nn.Module, x: Tensor) -> Tensor:
    """Run a backbone and take its last feature map.

    Args:
        backbone (nn.Module): Returns a feature map, or a list or tuple of them from one stage after
            the other, the last of which counts; a map may come as a pair with its class token.
        x (Tensor): Clips `(B, 3, T, H, W)` or spectrograms `(B, 1, F, T)`.

    Returns:
        Tensor: Feature map `(B, C, T, H, W)` or `(B, C, F, T)`.

    Raises:
        ValueError: If the backbone takes input of other axes, or returns something else.
    """
    try:
        output = backbone(x)
    except RuntimeError as error:
        if not _is_about_axes(error):
            raise
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{type(backbone).__name__} cannot take {_INPUTS[x.ndim]} of shape {tuple(x.shape)} "
            f"({reason}): expected {_NETWORKS[x.ndim]}"
        ) from error
    maps = [output]
    if isinstance(output, (tuple, list)):
        maps = [_without_token(part) for part in output]
    fits = all(isinstance(m, Tensor) and m.ndim == x.ndim and len(m) == len(x) for m in maps)
    if not maps or not fits or not _shrink(maps):
        name = type(backbone).__name__
        hint = _HINTS.get(name, "docs/extend/backbone.md lists those that fit")
        raise ValueError(
            f"{name} returned a {_describe(output)}, expected a feature map {_AXES[x.ndim]}, B "
            f"being {len(x)}, or those of successive stages: {hint}"
        )
    return maps[-1]


def _is_about_axes(error: RuntimeError) -> bool:
    """Whether a convolution says that its input has other axes or channels than its weights."""
    message = str(error)
    return "input to conv" in message or (
        "weight of size" in message and "to have" in message and "channels" in message
    )


def _without_token(part: object) -> object:
    """The map of a pair of map and class token, as MViT returns it."""
    if isinstance(part, (tuple, list)) and len(part) == 2:
        token = part[1]
        if token is None or (isinstance(token, Tensor) and token.ndim == 2):
            return part[0]
    return part


def _shrink(maps: list[Tensor]) -> bool:
    """Whether no map has more positions along an axis than the one before: stages, not pathways."""
    sizes = [m.shape[2:] for m in maps]
    return all(
        new <= old
        for before, after in pairwise(sizes)
        for old, new in zip(before, after, strict=True)
    )


def _describe(output: object) -> str:
    kind = type(output).__name__
    if isinstance(output, Tensor):
        return f"{kind} of shape {tuple(output.shape)}"
    if isinstance(output, (tuple, list)):
        parts = (_shape(part) for part in output)
        return f"{kind} of ({', '.join(parts)})"
    return kind


def _shape(part: object) -> str:
    return str(tuple(part.shape)) if isinstance(part, Tensor) else type(part).__name__
