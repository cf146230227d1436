"""Batch norm over the batches of all ranks, on CPU."""

import torch
import torch.distributed.nn.functional as dist_nn
from torch import Tensor, nn


def sync_batch_norm(module: nn.SyncBatchNorm, x: Tensor) -> Tensor:
    """Normalise by the statistics of all ranks together, in training (Ioffe and Szegedy 2015).

    Ranks may hold different numbers of samples. Gradients flow through the statistics to all ranks.

    Args:
        module (nn.SyncBatchNorm): Weights and running statistics; the latter are updated.
        x (Tensor): `(B, C, ...)`.

    Returns:
        Tensor: Normalised, of the same shape and dtype.
    """
    axes = [0, *range(2, x.ndim)]
    shape = [1, -1] + [1] * (x.ndim - 2)
    values = x.double()
    count = values.new_full((1,), x.numel() // x.shape[1])
    sums = torch.cat([values.sum(axes), values.square().sum(axes), count])
    sums = dist_nn.all_reduce(sums)
    total = sums[-1]
    mean, square = (sums[:-1] / total).chunk(2)
    var = square - mean.square()

    if module.track_running_stats:
        with torch.no_grad():
            module.num_batches_tracked.add_(1)
            momentum = module.momentum
            if momentum is None:
                momentum = 1 / float(module.num_batches_tracked)
            unbiased = var * (total / (total - 1).clamp_min(1))
            module.running_mean.lerp_(mean.to(module.running_mean.dtype), momentum)
            module.running_var.lerp_(unbiased.to(module.running_var.dtype), momentum)

    out = (values - mean.view(shape)) * (var + module.eps).rsqrt().view(shape)
    if module.affine:
        out = out * module.weight.view(shape) + module.bias.view(shape)
    return out.to(x.dtype)
