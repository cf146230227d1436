"""Memories of earlier batches: queues and banks, and the negatives drawn from them."""

from .key_queue import KeyQueue
from .keys import Keys, in_batch_keys
from .memory_bank import MemoryBank
from .negatives import draw_negatives

__all__ = ["KeyQueue", "Keys", "MemoryBank", "draw_negatives", "in_batch_keys"]
