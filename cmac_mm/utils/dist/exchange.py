"""Exchange of rows among ranks."""

from collections.abc import Sequence

import torch
import torch.distributed as torch_dist
from mmengine import dist
from torch import Tensor


@torch.no_grad()
def exchange_rows(batch: Tensor, order: Tensor, sizes: Sequence[int]) -> Tensor:
    """Reorder the rows of all ranks, and get this rank's share of them.

    Each row goes to the rank that needs it and to no other.

    Args:
        batch (Tensor): Rows of this rank `(B, ...)`.
        order (Tensor): A permutation of the rows of all ranks `(sum of B,)`, on the CPU, the same
            on every rank.
        sizes (Sequence[int]): B of every rank; the shares of the new order are as large.

    Returns:
        Tensor: `(B, ...)`: of the batches of all ranks put together, the rows that this rank's
        share of ``order`` names; contiguous.
    """
    rank = dist.get_rank()
    owners = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    wanted = order.split(list(sizes))
    leaving = [part[owners[part] == rank] - sum(sizes[:rank]) for part in wanted]
    sources = owners[wanted[rank]]
    received = batch.new_empty((len(sources), *batch.shape[1:]))
    torch_dist.all_to_all_single(
        received,
        batch[torch.cat(leaving).to(batch.device, non_blocking=True)].contiguous(),
        output_split_sizes=torch.bincount(sources, minlength=len(sizes)).tolist(),
        input_split_sizes=[len(part) for part in leaving],
    )
    # They come ordered by where they come from.
    places = sources.argsort(stable=True).argsort()
    return received[places.to(batch.device, non_blocking=True)]
