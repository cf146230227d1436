"""Memories: what a method remembers of earlier batches, and of other ranks."""

from .gather import gather_batch, gather_batch_with_grad
from .key_queue import KeyQueue

__all__ = ["KeyQueue", "gather_batch", "gather_batch_with_grad"]
