"""Batches of all ranks, in rank order."""

from collections.abc import Sequence

import torch
import torch.distributed.nn.functional as dist_nn
import torch.nn.functional as F
from mmengine import dist
from torch import Tensor


@torch.no_grad()
def gather_batch(batch: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """Concatenate the batches of all ranks, without gradient.

    Args:
        batch (Tensor): `(B, ...)`.
        sizes (Sequence[int], optional): B of every rank, known without asking them, so that
            nobody waits. Defaults to None, the same on all.

    Returns:
        Tensor: `(sum of B, ...)`, ranks in order; ``batch`` itself on one rank.
    """
    if dist.get_world_size() == 1:
        return batch
    return _join(dist.all_gather(_padded(batch, sizes)), sizes)


def gather_batch_with_grad(batch: Tensor, sizes: Sequence[int] | None = None) -> Tensor:
    """Concatenate the batches of all ranks, with gradients that flow back to their ranks."""
    if dist.get_world_size() == 1:
        return batch
    return _join(dist_nn.all_gather(_padded(batch, sizes)), sizes)


def _padded(batch: Tensor, sizes: Sequence[int] | None) -> Tensor:
    """The batch with as many rows as the largest one: collectives want equal shapes."""
    if sizes is not None and len(batch) < max(sizes):
        batch = F.pad(batch, (0, 0) * (batch.ndim - 1) + (0, max(sizes) - len(batch)))
    return batch.contiguous()


def _join(parts: Sequence[Tensor], sizes: Sequence[int] | None) -> Tensor:
    if sizes is not None:
        parts = [part[:size] for part, size in zip(parts, sizes, strict=True)]
    return torch.cat(tuple(parts))
