"""Batches over ranks: sizes, split and gathering; calls on one rank."""

from .exchange import exchange_rows
from .gather import gather_batch, gather_batch_with_grad
from .main_rank import on_main_rank
from .rank_batch import RankBatch
from .split import split_sizes
from .sync_batch_norm import synchronise_batch_norm
from .waiting import wait_for_all_ranks

__all__ = [
    "RankBatch",
    "exchange_rows",
    "gather_batch",
    "gather_batch_with_grad",
    "on_main_rank",
    "split_sizes",
    "synchronise_batch_norm",
    "wait_for_all_ranks",
]
