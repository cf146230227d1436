"""Batches of all ranks, in rank order."""

import torch
import torch.distributed.nn.functional as dist_nn
from mmengine import dist
from torch import Tensor


@torch.no_grad()
def gather_batch(batch: Tensor) -> Tensor:
    """Concatenate the batches of all ranks, without gradient.

    Args:
        batch (Tensor): `(B, ...)`, of one shape on every rank (MMEngine's samplers see to it).

    Returns:
        Tensor: `(world_size * B, ...)`, ranks in order; ``batch`` itself on one rank.
    """
    if dist.get_world_size() == 1:
        return batch
    return torch.cat(dist.all_gather(batch.contiguous()))


def gather_batch_with_grad(batch: Tensor) -> Tensor:
    """Like :func:`gather_batch`, with gradients flowing back to the rank they came from."""
    if dist.get_world_size() == 1:
        return batch
    return torch.cat(dist_nn.all_gather(batch.contiguous()))
