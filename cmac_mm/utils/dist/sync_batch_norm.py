"""Batch norm over the batches of all ranks, on CPU."""

import torch
import torch.distributed.nn.functional as dist_nn
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class CPUSyncBatchNorm(_BatchNorm):
    """Batch norm over all ranks on a CPU, like torch's SyncBatchNorm on GPUs.

    Ranks may hold different numbers of samples. Gradients flow through the statistics to all ranks.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `(B, C, ...)`."""
        if not (self.training and torch.distributed.is_initialized()):
            return super().forward(x)
        axes = [0, *range(2, x.ndim)]
        shape = [1, -1] + [1] * (x.ndim - 2)
        values = x.double()
        count = values.new_full((1,), x.numel() // x.shape[1])
        sums = torch.cat([values.sum(axes), values.square().sum(axes), count])
        sums = dist_nn.all_reduce(sums)
        total = sums[-1]
        mean, square = (sums[:-1] / total).chunk(2)
        var = square - mean.square()

        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)
                momentum = self.momentum
                if momentum is None:
                    momentum = 1 / float(self.num_batches_tracked)
                unbiased = var * (total / (total - 1).clamp_min(1))
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)

        out = (values - mean.view(shape)) * (var + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(x.dtype)


def synchronise_batch_norm(model: nn.Module) -> nn.Module:
    """Make all batch norms of a model use the statistics of all ranks.

    Args:
        model (nn.Module): The model, changed in place; parameters and names stay.

    Returns:
        nn.Module: The model.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = CPUSyncBatchNorm
    return model
