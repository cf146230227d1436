"""Memories: what a method remembers of earlier batches, and of other ranks."""

from .gather import gather_batch, gather_batch_with_grad
from .key_queue import KeyQueue
from .memory_bank import MemoryBank
from .mining import mine_positives, mine_positives_on_all_ranks
from .negatives import draw_negatives
from .rank_sizes import batch_weight, rank_sizes

__all__ = [
    "KeyQueue",
    "MemoryBank",
    "batch_weight",
    "draw_negatives",
    "gather_batch",
    "gather_batch_with_grad",
    "mine_positives",
    "mine_positives_on_all_ranks",
    "rank_sizes",
]
