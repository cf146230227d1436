"""Hooks of the training loop."""

from .bad_sample_hook import BadSampleHook
from .queue_size_hook import QueueSizeHook

__all__ = ["BadSampleHook", "QueueSizeHook"]
