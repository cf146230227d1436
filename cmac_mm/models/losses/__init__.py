"""Losses: pure functions, with thin registered modules around them."""

from .attention_consistency_loss import AttentionConsistencyLoss, attention_consistency
from .moco_queue_loss import MoCoQueueLoss, queue_contrast
from .nce_loss import NCELoss, nce_loss

__all__ = [
    "AttentionConsistencyLoss",
    "MoCoQueueLoss",
    "NCELoss",
    "attention_consistency",
    "nce_loss",
    "queue_contrast",
]
