"""Attention consistency (CMAC, eq. 6)."""

import torch
import torch.nn as nn
from mmaction.registry import MODELS
from torch import Tensor


def attention_consistency(predicted: Tensor, target: Tensor, reduction: str = "sum") -> Tensor:
    """Squared L2 distance of two attention maps (CMAC, eq. 6), averaged over the batch.

    Args:
        predicted (Tensor): Attention predicted from the modality alone `(B, *S)`.
        target (Tensor): Guided attention `(B, *S)`.
        reduction (str): ``'sum'`` over positions, as the equation has it, or ``'mean'``.

    Returns:
        Tensor: Scalar, float32 (float64 for float64 input).
    """
    if predicted.shape != target.shape:
        raise ValueError(f"maps differ in shape: {tuple(predicted.shape)}, {tuple(target.shape)}")
    with torch.autocast(predicted.device.type, enabled=False):
        if predicted.dtype != torch.float64:
            predicted, target = predicted.float(), target.float()
        squared = (predicted - target).square().flatten(1)
        per_sample = squared.sum(dim=1) if reduction == "sum" else squared.mean(dim=1)
        return per_sample.mean()


@MODELS.register_module()
class AttentionConsistencyLoss(nn.Module):
    """Weighted attention consistency of one modality (CMAC, eq. 6 and 8).

    The mean over positions as reduction makes the term a thousandth of the contrastive loss: it
    is there for comparison.

    Args:
        loss_weight (float): lambda of eq. 8. Default: 1.5.
        reduction (str): ``'sum'`` or ``'mean'`` over positions. Default: ``'sum'``.
        detach_target (bool): Treat the guided map as a pseudo label, without gradient. Our choice,
            the paper does not say. Default: True.

    Raises:
        ValueError: If ``reduction`` is unknown.
    """

    def __init__(
        self, loss_weight: float = 1.5, reduction: str = "sum", detach_target: bool = True
    ) -> None:
        super().__init__()
        if reduction not in ("sum", "mean"):
            raise ValueError(f"reduction must be 'sum' or 'mean', got {reduction!r}")
        self.loss_weight = loss_weight
        self.reduction = reduction
        self.detach_target = detach_target

    def forward(self, predicted: Tensor, guided: Tensor) -> Tensor:
        """Loss of `(B, *S)` maps; see :func:`attention_consistency`."""
        target = guided.detach() if self.detach_target else guided
        return self.loss_weight * attention_consistency(predicted, target, self.reduction)
