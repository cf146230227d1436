"""Memories: what a method remembers of earlier batches, and of other ranks."""

from .gather import gather_batch, gather_batch_with_grad
from .key_queue import KeyQueue
from .memory_bank import MemoryBank
from .negatives import draw_negatives
from .rank_sizes import batch_weight, rank_sizes

__all__ = [
    "KeyQueue",
    "MemoryBank",
    "batch_weight",
    "draw_negatives",
    "gather_batch",
    "gather_batch_with_grad",
    "rank_sizes",
]
