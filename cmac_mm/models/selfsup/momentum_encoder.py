"""Key encoders: slow copies of the query encoders (MoCo, He et al. 2020)."""

from collections.abc import Iterable, Sequence
from copy import deepcopy

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine import dist
from torch import Tensor

from ...utils.dist import gather_batch
from ..feature_map import run_encoder
from ..layers import global_average_pool


class MomentumEncoder(nn.Module):
    """Momentum copy of one modality's encoder f, filter branch g and projection P.

    Weights follow the originals as ``key <- momentum * key + (1 - momentum) * query``; batch norm
    statistics are the copy's own.

    Args:
        backbone (nn.Module): f.
        filter_branch (nn.Module): g.
        projection (nn.Module): P.
        momentum (float): 0.999 in the paper. (MMEngine's averaged models write it as 0.001.)
        shuffle_bn (bool): On several ranks, encode a shuffled share of the global batch, so that
            batch statistics do not tell a query its key (MoCo, section 3.3).

    Raises:
        ValueError: If ``momentum`` is outside [0, 1].
    """

    def __init__(
        self,
        backbone: nn.Module,
        filter_branch: nn.Module,
        projection: nn.Module,
        momentum: float,
        shuffle_bn: bool,
    ) -> None:
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        self.backbone = deepcopy(backbone)
        self.filter_branch = deepcopy(filter_branch)
        self.projection = deepcopy(projection)
        self.momentum = momentum
        self.shuffle_bn = shuffle_bn
        self.requires_grad_(False)

    @torch.no_grad()
    def update(self, originals: Iterable[nn.Module], momentum: float | None = None) -> None:
        """Move the weights towards the originals'.

        Args:
            originals (Iterable[nn.Module]): f, g and P of the query.
            momentum (float, optional): Instead of the encoder's own; 0 copies.
        """
        momentum = self.momentum if momentum is None else momentum
        query = [parameter for module in originals for parameter in module.parameters()]
        torch._foreach_lerp_(list(self.parameters()), query, 1 - momentum)

    @torch.no_grad()
    def forward(self, inputs: Tensor, sizes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Encode this rank's batch.

        Args:
            inputs (Tensor): Clips `(B, 3, T, H, W)` or spectrograms `(B, 1, F, T)`.
            sizes (Sequence[int], optional): B of every rank. Default: None, the same on all.

        Returns:
            tuple[Tensor, Tensor]: L2-normalised keys in float32, of this rank's batch `(B, D)` and
            of all ranks' `(sum of B, D)`.
        """
        rank, world_size = dist.get_rank(), dist.get_world_size()
        counts = [len(inputs)] * world_size if sizes is None else sizes
        shuffled = self.shuffle_bn and self.training and world_size > 1
        if shuffled:
            order = torch.randperm(sum(counts), device=inputs.device)
            dist.broadcast(order, src=0)
            inputs = gather_batch(inputs, sizes)[order.split(list(counts))[rank]]
        kernel = global_average_pool(self.filter_branch(run_encoder(self.backbone, inputs)))
        keys = gather_batch(F.normalize(self.projection(kernel).float(), dim=1), sizes)
        if shuffled:
            keys = keys[order.argsort()]
        return keys.split(list(counts))[rank], keys
