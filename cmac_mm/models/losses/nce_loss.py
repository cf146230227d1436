"""Noise contrastive estimation (AVID, eq. 2)."""

import math
from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine import dist
from torch import Tensor

from ...utils import Watch


def nce_loss(
    positive_scores: Tensor, negative_scores: Tensor, z: Tensor, valid: Tensor | None = None
) -> Tensor:
    """Compute the noise contrastive loss of positive and negative scores (AVID, eq. 1 and 2).

    With ``e = exp(score)`` a row is taken for a positive with the probability
    ``e / (e + K Z)``; of each sample the mean over positives of ``-log p`` and the sum over
    negatives of ``-log (1 - p)`` are added, and this is averaged over the batch.

    Args:
        positive_scores (Tensor): Similarities to the positives over the temperature `(B, P)`.
        negative_scores (Tensor): The same for the negatives `(B, K)`.
        z (Tensor): Z, a scalar.
        valid (Tensor, optional): Which positives count `(B, P)`, bool; a sample without any has
            no loss from positives. Defaults to None, all.

    Returns:
        Tensor: Scalar.
    """
    # Through logarithms: exp(1 / 0.07) times K overflows float16.
    log_noise = z.log() + math.log(negative_scores.shape[1])
    pull = F.softplus(log_noise - positive_scores)
    if valid is None:
        pull = pull.mean(dim=1)
    else:
        pull = pull.masked_fill(~valid, 0).sum(dim=1) / valid.sum(dim=1).clamp_min(1)
    push = F.softplus(negative_scores - log_noise).sum(dim=1)
    return (pull + push).mean()


def _is_positive(z: Tensor) -> bool:
    return bool(z > 0)


@MODELS.register_module()
class NCELoss(nn.Module):
    """Noise contrastive loss against rows of memory banks (AVID, eq. 2).

    Z, the mean of ``exp(score)`` over negatives, is taken from the first training batch of all
    ranks, over the term that is scored first, and kept for good, for all terms. It is a buffer: a
    checkpoint brings it along.

    Args:
        temperature (float): tau. Defaults to 0.07.

    Raises:
        ValueError: If ``temperature`` is not positive.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.temperature = temperature
        self.z: Tensor
        self.register_buffer("z", torch.zeros(()))  # 0: not known yet
        # Looked at only when it may have changed, so that no step waits for the device.
        self._is_known = Watch(_is_positive)

    def forward(
        self,
        query: Tensor,
        positives: Tensor,
        negatives: Tensor,
        valid: Tensor | None = None,
        sizes: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Compute loss and top-1 accuracy of one term.

        Args:
            query (Tensor): Normalised embeddings `(B, D)`.
            positives (Tensor): Bank rows `(B, P, D)`.
            negatives (Tensor): Bank rows `(B, K, D)`.
            valid (Tensor, optional): Which positives count, see :func:`nce_loss`. Defaults to None.
            sizes (Sequence[int], optional): B of every rank. Defaults to None, the same on all.

        Returns:
            tuple[Tensor, Tensor]: Loss, and the share of positives that are closer to their query
            than each of its negatives (without gradient); scalars in float32 (float64 for float64
            input).
        """
        with torch.autocast(query.device.type, enabled=False):
            dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
            query = query.to(dtype)[:, :, None] / self.temperature
            positive_scores = (positives.to(dtype) @ query).squeeze(2)
            negative_scores = (negatives.to(dtype) @ query).squeeze(2)
            z = self._partition(negative_scores.detach(), sizes)
            loss = nce_loss(positive_scores, negative_scores, z.to(dtype), valid)
            with torch.no_grad():
                closest = positive_scores > negative_scores.amax(dim=1, keepdim=True)
                if valid is None:
                    top1 = closest.to(dtype).mean()
                else:
                    top1 = (closest & valid).sum() / valid.sum().clamp_min(1)
        return loss, top1

    @torch.no_grad()
    def _partition(self, scores: Tensor, sizes: Sequence[int] | None) -> Tensor:
        """Z; of the first batch if it is not known yet."""
        if self._is_known(self.z):
            return self.z
        mean = scores.exp().mean()
        if dist.get_world_size() > 1:
            # Ranks may have batches of different sizes.
            weight = 1.0 if sizes is None else sizes[dist.get_rank()] * len(sizes) / sum(sizes)
            mean = mean * weight
            dist.all_reduce(mean, "mean")
        if self.training:
            self.z.copy_(mean)
        return mean
