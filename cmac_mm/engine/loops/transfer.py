"""Transfer of batches to the device during computation."""

from collections.abc import Iterable, Iterator
from functools import partial

import torch
from mmengine.utils import apply_to


def on_device(batches: Iterable[dict]) -> Iterator[dict]:
    """Copy each batch to the GPU on a stream of its own, during the step before it.

    A training step returns as soon as its work is queued, so the copy runs while the GPU still
    computes. It needs pinned memory (``pin_memory=True``). Without a GPU nothing is done.

    Args:
        batches (Iterable[dict]): Batches of nested dicts and lists with tensors.

    Yields:
        dict: The batches, their tensors on the current GPU.
    """
    if not torch.cuda.is_available():
        yield from batches
        return
    stream = torch.cuda.Stream()
    for batch in batches:
        with torch.cuda.stream(stream):
            moved = apply_to(batch, torch.is_tensor, _copy)
        current = torch.cuda.current_stream()
        current.wait_stream(stream)
        # The allocator must not hand the memory to the next copy while the step reads it.
        apply_to(moved, torch.is_tensor, partial(_use_on, stream=current))
        yield moved


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to("cuda", non_blocking=True)


def _use_on(tensor: torch.Tensor, stream: torch.cuda.Stream) -> torch.Tensor:
    tensor.record_stream(stream)
    return tensor
