"""Memories of earlier batches: queues and banks, and the negatives drawn from them."""

from .key_queue import KeyQueue
from .memory_bank import MemoryBank
from .negatives import draw_negatives

__all__ = ["KeyQueue", "MemoryBank", "draw_negatives"]
