"""Gradient norms of the parts of a loss."""

import torch
from torch import Tensor

# Gradients of a part can lie below the smallest float16: scale them while they are taken.
_GRADIENT_SCALE = 2.0**10


def gradient_norms(losses: dict[str, Tensor], maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Compute the gradient norm of each part of the loss at the encoders' feature maps.

    Args:
        losses (dict[str, Tensor]): Scalars under names that begin with ``loss_``.
        maps (dict[str, Tensor]): Feature maps that they were computed from.

    Returns:
        dict[str, Tensor]: The norms, under ``grad_norm_`` and the rest of the name.
    """
    norms = {}
    for key, value in losses.items():
        gradients = torch.autograd.grad(
            value * _GRADIENT_SCALE, list(maps.values()), retain_graph=True, allow_unused=True
        )
        present = [gradient.float().norm() for gradient in gradients if gradient is not None]
        norms[key.replace("loss_", "grad_norm_")] = torch.stack(present).norm() / _GRADIENT_SCALE
    return norms
