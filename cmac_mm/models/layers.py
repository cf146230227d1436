"""Layers shared by several networks."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

POOLINGS = ("avg", "max", "max2", "none")


class SafeConv3d(nn.Conv3d):
    """`torch.nn.Conv3d` with correct gradients in bfloat16 on a CPU.

    On CPUs (torch 2.11, AVX512-BF16) the weight gradient of a bfloat16 ``Conv3d`` is wrong or NaN
    when the input has more than one frame but fewer than the kernel covers. The last stage of
    R(2+1)D-18 meets that case at 16 input frames, the saliency head at 2 feature frames. There,
    and nowhere else, this layer computes in float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` of shape `(B, C, T, H, W)`."""
        low_precision = x.dtype == torch.bfloat16 or (
            torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        )
        if x.device.type == "cpu" and low_precision and 1 < x.shape[2] < self.kernel_size[0]:
            with torch.autocast("cpu", enabled=False):
                bias = None if self.bias is None else self.bias.float()
                out = F.conv3d(
                    x.float(),
                    self.weight.float(),
                    bias,
                    self.stride,
                    self.padding,
                    self.dilation,
                    self.groups,
                )
            return out.bfloat16()
        return super().forward(x)


def global_average_pool(feature_map: Tensor) -> Tensor:
    """Average over all positions: `(B, C, ...)` to `(B, C)`."""
    return feature_map.flatten(2).mean(dim=2)


def pool_feature_map(feature_map: Tensor, pooling: str) -> Tensor:
    """Pool a feature map to one vector a clip.

    Args:
        feature_map (Tensor): Picture `(B, C, T, H, W)` or sound `(B, C, F, T)`.
        pooling (str): ``'avg'`` or ``'max'`` over all positions; ``'max2'``: max pooling with
            kernel and stride 2, flattened (SeLaVi's retrieval); ``'none'``: flattened as it is.

    Returns:
        Tensor: `(B, C)`, or `(B, C * positions)` where flattened.

    Raises:
        ValueError: If the pooling is unknown, or the map too small for ``'max2'``.
    """
    if pooling == "avg":
        return global_average_pool(feature_map)
    if pooling == "max":
        return feature_map.flatten(2).amax(dim=2)
    if pooling == "max2":
        if min(feature_map.shape[2:]) < 2:
            raise ValueError(
                f"pooling 'max2' needs 2 or more positions along each axis, got a feature map of "
                f"{tuple(feature_map.shape[2:])}"
            )
        pool = F.max_pool3d if feature_map.ndim == 5 else F.max_pool2d
        return pool(feature_map, 2).flatten(1)
    if pooling == "none":
        return feature_map.flatten(1)
    raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")


def run_checkpointed(module: nn.Module, x: Tensor) -> Tensor:
    """Run a module with gradient checkpointing.

    Batch norm statistics are updated in the first run only: twice would be another momentum.

    Args:
        module (nn.Module): What to apply.
        x (Tensor): Its input.

    Returns:
        Tensor: Its output.
    """
    if torch.compiler.is_compiling():  # the graph itself keeps the update to the first run
        return checkpoint(module, x, use_reentrant=False)

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), _frozen_statistics(module)

    return checkpoint(module, x, use_reentrant=False, context_fn=contexts)


@contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training]
    norms = [norm for norm in norms if norm.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.sub_(1)
