"""Batches over ranks: their sizes, their split, and gathering them; what one rank does for all."""

from .gather import gather_batch, gather_batch_with_grad
from .main_rank import on_main_rank
from .rank_sizes import batch_weight, rank_sizes
from .split import split_sizes
from .sync_batch_norm import synchronise_batch_norm

__all__ = [
    "batch_weight",
    "gather_batch",
    "gather_batch_with_grad",
    "on_main_rank",
    "rank_sizes",
    "split_sizes",
    "synchronise_batch_norm",
]
