"""Losses: pure functions, with thin registered modules around them."""

from .attention_consistency_loss import AttentionConsistencyLoss, attention_consistency
from .moco_queue_loss import MoCoQueueLoss, queue_contrast

__all__ = [
    "AttentionConsistencyLoss",
    "MoCoQueueLoss",
    "attention_consistency",
    "queue_contrast",
]
