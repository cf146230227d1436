"""Memory bank: one embedding for each video."""

from collections.abc import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ...utils.dist.gather import gather_batch

_DRAWN = 1 << 20  # rows that are drawn at a time


class MemoryBank(nn.Module):
    """Memory bank with a slowly moving embedding of each video (Wu et al. 2018).

    Row ``i`` belongs to the video in row ``i`` of the training list, whichever clip of it comes.
    The rows are a buffer, so they are in every checkpoint; they start as random unit vectors.

    Args:
        size (int): Number of videos. 0 for a bank that gets its size later: from :meth:`resize`,
            or from the checkpoint that is loaded into it.
        channels (int): Length of an embedding. Defaults to 128.
        momentum (float): What stays of a row when its video comes: ``row <- normalised(momentum *
            row + (1 - momentum) * embedding)``. Defaults to 0.5.
        dtype (str): What rows are kept in: ``'float32'``, or ``'float16'`` in half the memory;
            rounding then moves an element of a unit vector by 2.5e-4 at most. Everything is
            computed in float32. Defaults to ``'float32'``.

    Raises:
        ValueError: If ``size`` is negative, ``momentum`` outside [0, 1], or ``dtype`` another one.
    """

    def __init__(
        self, size: int, channels: int = 128, momentum: float = 0.5, dtype: str = "float32"
    ) -> None:
        super().__init__()
        if size < 0:
            raise ValueError(f"size must not be negative, got {size}")
        if dtype not in ("float32", "float16"):
            raise ValueError(f"dtype must be 'float32' or 'float16', got {dtype!r}")
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in [0, 1], got {momentum}")
        self.channels = channels
        self.momentum = momentum
        self.entries: Tensor
        self.register_buffer("entries", torch.empty(0, channels))
        if dtype == "float16":
            self.entries = self.entries.half()
        self.resize(size)

    @torch.no_grad()
    def resize(self, size: int, generator: torch.Generator | None = None) -> None:
        """Reset the bank to random rows of another number.

        Args:
            size (int): Number of videos.
            generator (torch.Generator, optional): Draws the rows, on the CPU. On several ranks
                all need the same one. Defaults to None, PyTorch's own.
        """
        self.entries = self.entries.new_empty(size, self.channels)
        for rows in self.entries.split(_DRAWN):  # the same draws as all at once
            drawn = torch.randn(rows.shape, generator=generator, dtype=self._precise)
            rows.copy_(F.normalize(drawn, dim=1))

    @property
    def _precise(self) -> torch.dtype:
        """What is computed in."""
        return torch.promote_types(self.entries.dtype, torch.float32)

    def precise_entries(self) -> Tensor:
        """All rows `(size, channels)` to compute with: a copy in float32 where they are shorter."""
        return self.entries.to(self._precise)

    def rows(self, idx: Tensor) -> Tensor:
        """Get rows of some videos, without gradient.

        Args:
            idx (Tensor): Row numbers, of any shape.

        Returns:
            Tensor: `(*idx.shape, channels)`.
        """
        return F.embedding(idx, self.entries)

    @torch.no_grad()
    def put(self, idx: Tensor, embeddings: Tensor) -> None:
        """Replace rows.

        Args:
            idx (Tensor): Row numbers `(B,)`.
            embeddings (Tensor): What they become, normalised before `(B, channels)`.
        """
        embeddings = F.normalize(embeddings.to(self.entries.device, self._precise), dim=1)
        self.entries[idx.to(self.entries.device)] = embeddings.to(self.entries.dtype)

    @torch.no_grad()
    def update(self, idx: Tensor, embeddings: Tensor, sizes: Sequence[int] | None = None) -> None:
        """Update the rows of the videos of a batch, of all ranks.

        Of a video that is there more than once the embeddings are averaged first: the row moves
        once.

        Args:
            idx (Tensor): Row numbers of the batch's videos `(B,)`.
            embeddings (Tensor): Their normalised embeddings `(B, channels)`.
            sizes (Sequence[int], optional): B of every rank, see :func:`gather_batch`. Defaults to
                None, the same on all.

        Raises:
            ValueError: If the shapes do not fit the bank or each other.
        """
        if embeddings.shape[1:] != self.entries.shape[1:] or idx.shape != embeddings.shape[:1]:
            raise ValueError(
                f"expected idx (B,) and embeddings (B, {self.channels}), got "
                f"{tuple(idx.shape)} and {tuple(embeddings.shape)}"
            )
        idx = gather_batch(idx, sizes)
        embeddings = gather_batch(embeddings.to(self._precise), sizes)
        same = (idx[:, None] == idx[None, :]).to(embeddings.dtype)
        mean = same @ embeddings / same.sum(dim=1, keepdim=True)
        # All rows of one video take the first one's value: equal to the last bit, so that the
        # order in which they are written does not matter.
        mean = mean[same.argmax(dim=1)]
        rows = self.momentum * self.rows(idx).to(self._precise) + (1 - self.momentum) * mean
        self.entries[idx] = F.normalize(rows, dim=1).to(self.entries.dtype)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Take the size of the stored bank where this one has none yet."""
        stored = state_dict.get(f"{prefix}entries")
        if stored is not None and len(self.entries) == 0:
            self.entries = self.entries.new_empty(len(stored), self.channels)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        """Size, channels and momentum."""
        return f"{len(self.entries)}, channels={self.channels}, momentum={self.momentum}"
