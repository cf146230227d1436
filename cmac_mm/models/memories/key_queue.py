"""MoCo's queue of keys."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


class KeyQueue(nn.Module):
    """Ring buffer of L2-normalised keys (MoCo, He et al. 2020), each with its video's row number.

    Keys, row numbers and pointer are buffers, so they are in every checkpoint. The queue starts
    with random unit vectors that belong to no video (row number -1).

    Args:
        size (int): Number of keys kept.
        channels (int): Length of a key.

    Raises:
        ValueError: If ``size`` is below 1.
    """

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        self.size = size
        self.keys: Tensor
        self.sample_idx: Tensor
        self.pointer: Tensor
        self.register_buffer("keys", F.normalize(torch.randn(size, channels), dim=1))
        self.register_buffer("sample_idx", torch.full((size,), -1, dtype=torch.long))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: Tensor, sample_idx: Tensor) -> None:
        """Overwrite the oldest keys, wrapping around at the end.

        On several ranks pass the gathered keys, so that every rank holds the same queue.

        Args:
            keys (Tensor): Normalised keys `(N, channels)`; of more than ``size`` the last stay.
            sample_idx (Tensor): Row number of each key's video `(N,)`.

        Raises:
            ValueError: If the shapes do not fit the queue or each other.
        """
        if keys.shape[1:] != self.keys.shape[1:] or sample_idx.shape != keys.shape[:1]:
            raise ValueError(
                f"expected keys (N, {self.keys.shape[1]}) and sample_idx (N,), got "
                f"{tuple(keys.shape)} and {tuple(sample_idx.shape)}"
            )
        skipped = max(0, len(keys) - self.size)
        offset = torch.arange(skipped, len(keys), device=self.keys.device)
        slots = (self.pointer + offset) % self.size  # index on the device: no host sync
        self.keys.index_copy_(0, slots, keys[skipped:].to(self.keys.dtype))
        self.sample_idx.index_copy_(0, slots, sample_idx[skipped:])
        self.pointer.add_(len(keys)).remainder_(self.size)
