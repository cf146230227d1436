"""Attention consistency (CMAC, eq. 6)."""

import torch
import torch.nn as nn
from mmaction.registry import MODELS
from torch import Tensor

REDUCTIONS = ("sum", "mean", "balanced")
# Positions that a "balanced" map counts as having: about the geometric mean of the paper's 256
# visual and 36 audio ones, so that lambda stays in the range of the paper's.
_BALANCED_POSITIONS = 100


def attention_consistency(predicted: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """Compute the squared L2 distance of two attention maps (CMAC, eq. 6), averaged over the batch.

    Args:
        predicted (Tensor): Attention predicted from the modality alone `(B, *S)`.
        target (Tensor): Guided attention `(B, *S)`.
        reduction (str): ``'sum'`` over positions, as the equation has it; their ``'mean'``; or
            ``'balanced'``: the mean times 100, whatever the number of positions.

    Returns:
        Tensor: Scalar, float32 (float64 for float64 input).

    Raises:
        ValueError: If the maps differ in shape, or ``reduction`` is unknown.
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    if predicted.shape != target.shape:
        raise ValueError(f"maps differ in shape: {tuple(predicted.shape)}, {tuple(target.shape)}")
    with torch.autocast(predicted.device.type, enabled=False):
        if predicted.dtype != torch.float64:
            predicted, target = predicted.float(), target.float()
        squared = (predicted - target).square().flatten(1)
        per_sample = squared.sum(dim=1) if reduction == "sum" else squared.mean(dim=1)
        if reduction == "balanced":
            per_sample = per_sample * _BALANCED_POSITIONS
        return per_sample.mean()


@MODELS.register_module()
class AttentionConsistencyLoss(nn.Module):
    """Weighted attention consistency of one modality (CMAC, eq. 6 and 8).

    Summed, the modality with more positions weighs more, and lambda means something else at
    another size of input. The mean makes the term a thousandth of the contrastive loss at the
    paper's lambda. Balanced, both modalities weigh the same, and lambda means the same at every
    size.

    Args:
        loss_weight (float): lambda of eq. 8. Defaults to 1.5.
        reduction (str): Over positions: ``'sum'``, ``'mean'`` or ``'balanced'``, see
            :func:`attention_consistency`. Defaults to ``'sum'``.
        detach_target (bool): Treat the guided map as a pseudo label, without gradient. Our choice,
            the paper does not say. Defaults to True.

    Raises:
        ValueError: If ``reduction`` is unknown.
    """

    def __init__(
        self, loss_weight: float = 1.5, reduction: str = "sum", detach_target: bool = True
    ) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
        self.loss_weight = loss_weight
        self.reduction = reduction
        self.detach_target = detach_target

    def forward(self, predicted: Tensor, guided: Tensor) -> Tensor:
        """Compute the loss of `(B, *S)` maps; see :func:`attention_consistency`."""
        target = guided.detach() if self.detach_target else guided
        return self.loss_weight * attention_consistency(predicted, target, self.reduction)
