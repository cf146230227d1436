"""Key encoders: momentum copies of the query encoders (MoCo, He et al. 2020)."""

from collections.abc import Iterable
from copy import deepcopy

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmengine import dist
from torch import Tensor

from ...utils.dist import RankBatch, exchange_rows, gather_batch
from ..data_preprocessors import AudioVisualDataPreprocessor
from ..feature_map import run_encoder
from ..layers import global_average_pool


class MomentumEncoder(nn.Module):
    """Momentum copy of one modality's encoder f, filter branch g and projection P.

    Weights follow the originals as ``key <- momentum * key + (1 - momentum) * query``, once an
    optimiser step; batch norm statistics are the copy's own.

    Args:
        backbone (nn.Module): f.
        filter_branch (nn.Module): g.
        projection (nn.Module): P.
        momentum (float): 0.999 in the paper. (MMEngine's averaged models write it as 0.001.)
        shuffle_bn (bool): On several ranks, encode a shuffled share of the global batch, so that
            batch statistics do not tell a query its key (MoCo, section 3.3). Each clip goes to
            the one rank that encodes it.

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
        self._seen: Tensor | None = None  # of the originals' weights, when they were last followed

    @torch.no_grad()
    def copy_from(self, originals: Iterable[nn.Module]) -> None:
        """Copy the weights of the query encoder.

        Args:
            originals (Iterable[nn.Module]): f, g and P of the query.
        """
        torch._foreach_copy_(list(self.parameters()), _parameters(originals))

    @torch.no_grad()
    def follow(self, originals: Iterable[nn.Module]) -> None:
        """Move the weights towards the query encoder's, if these changed since the last call.

        So the key encoders move once an optimiser step, also where gradients are accumulated over
        several batches, or a step is left out for want of finite gradients.

        Args:
            originals (Iterable[nn.Module]): f, g and P of the query.
        """
        keys, query = list(self.parameters()), _parameters(originals)
        # The small ones tell. Compared on the device, where nothing waits for the answer; a
        # tensor's version does not tell, as fused optimisers leave it.
        small = [parameter for parameter in query if parameter.ndim < 2] or query
        seen = torch.cat([parameter.flatten() for parameter in small])
        changed = True if self._seen is None else (seen != self._seen).any().to(seen.dtype)
        self._seen = seen
        steps = torch._foreach_sub(query, keys)
        torch._foreach_mul_(steps, (1 - self.momentum) * changed)
        torch._foreach_add_(keys, steps)

    @torch.no_grad()
    def forward(
        self, inputs: Tensor, batch: RankBatch, pictures: AudioVisualDataPreprocessor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode this rank's batch.

        Args:
            inputs (Tensor): Clips `(B, 3, T, H, W)` or spectrograms `(B, 1, F, T)`.
            batch (RankBatch): The batch.
            pictures (AudioVisualDataPreprocessor, optional): What normalised the clips, if they
                were whole numbers before: they then travel between ranks as bytes. Defaults to
                None: they travel as they are.

        Returns:
            tuple[Tensor, Tensor]: L2-normalised keys in float32, of this rank's batch `(B, D)` and
            of all ranks' `(sum of B, D)`.
        """
        shuffled = self.shuffle_bn and self.training and len(batch.sizes) > 1
        if shuffled:
            order = _draw_order(batch)
            sent = inputs if pictures is None else pictures.to_bytes(inputs)
            received = exchange_rows(sent, order, batch.sizes)
            if inputs.ndim == 5:
                received = received.contiguous(memory_format=torch.channels_last_3d)
            inputs = received if pictures is None else pictures.normalize(received)
        kernel = global_average_pool(self.filter_branch(run_encoder(self.backbone, inputs)))
        keys = gather_batch(F.normalize(self.projection(kernel).float(), dim=1), batch.sizes)
        if shuffled:
            keys = keys[order.argsort().to(keys.device, non_blocking=True)]
        return keys.split(list(batch.sizes))[dist.get_rank()], keys


def _draw_order(batch: RankBatch) -> Tensor:
    """A random order of the rows of all ranks, on the CPU and the same on each."""
    if batch.seed is not None:
        generator = torch.Generator().manual_seed(batch.seed)
        return torch.randperm(sum(batch.sizes), generator=generator)
    # Samplers that give no seed: one rank draws, and the others wait for it.
    order = torch.randperm(sum(batch.sizes)).to(batch.rows.device)
    dist.broadcast(order, src=0)
    return order.cpu()


def _parameters(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [parameter for module in modules for parameter in module.parameters()]
