"""Memories: what a method remembers of earlier batches, and of other ranks."""

from .gather import gather_batch, gather_batch_with_grad
from .key_queue import KeyQueue
from .rank_sizes import batch_weight, rank_sizes

__all__ = ["KeyQueue", "batch_weight", "gather_batch", "gather_batch_with_grad", "rank_sizes"]
