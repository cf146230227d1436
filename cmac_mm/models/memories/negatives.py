"""Random negatives."""

from collections.abc import Sequence

import torch
from torch import Tensor

# Far above the number of videos: the remainder by it is as good as uniform.
_DRAWS = 2**62
# Seeds of the samples' augmentations end below it.
_NEGATIVES_SEED = 2**32


@torch.no_grad()
def draw_negatives(
    batch_idx: Tensor,
    size: int,
    num: int,
    positives: Tensor | None = None,
    seeds: Sequence[int] | None = None,
    candidates: Tensor | None = None,
) -> Tensor:
    """Draw negatives for each sample, uniform over the other videos that are no positives.

    With replacement, as AVID does. The draws are made on the CPU, so they are the same on every
    device, and nothing waits for the device.

    Args:
        batch_idx (Tensor): Row numbers of the batch's videos `(B,)`.
        size (int): Number of videos, N.
        num (int): Negatives a sample, K.
        positives (Tensor, optional): Row numbers of each sample's positives `(B, P)`; -1 stands
            for none. Defaults to None.
        seeds (Sequence[int], optional): One for each sample, so that its draws are the same on
            whichever rank it is. Defaults to None, PyTorch's own generator.
        candidates (Tensor, optional): Row numbers `(M,)` to draw from, ascending, on the device of
            ``batch_idx``. Defaults to None, all N.

    Returns:
        Tensor: Row numbers `(B, K)`, on the device of ``batch_idx``.

    Raises:
        ValueError: If nothing is sure to be left to draw from, that is N <= P + 1, or M instead of
            N.
    """
    if candidates is not None:
        # As among M rows, of which the candidates are the numbers.
        own = _places(batch_idx, candidates)
        others = None if positives is None else _places(positives, candidates)
        return candidates[draw_negatives(own, len(candidates), num, others, seeds)]
    excluded = batch_idx[:, None]
    if positives is not None:
        excluded = torch.cat([excluded, positives], dim=1)
    if size <= excluded.shape[1]:
        raise ValueError(
            f"of {size} videos, {excluded.shape[1]} are the sample itself and its positives: none "
            "is left as negative"
        )
    # Sorted and without repetition; what does not count goes to the end, as `size`.
    excluded = torch.where(excluded < 0, size, excluded).sort(dim=1).values
    repeated = torch.zeros_like(excluded, dtype=torch.bool)
    repeated[:, 1:] = excluded[:, 1:] == excluded[:, :-1]
    excluded = excluded.masked_fill(repeated, size).sort(dim=1).values
    num_left = size - (excluded < size).sum(dim=1, keepdim=True)

    draws = _draw(len(batch_idx), num, seeds)
    if batch_idx.is_cuda:  # copies of more than 64 KB wait unless the memory is pinned
        draws = draws.pin_memory()
    draws = draws.to(batch_idx.device, non_blocking=True)
    draws = draws % num_left
    # The r-th of the rows that are left has as many excluded ones before it as there are k with
    # (k-th excluded row) - k <= r.
    shift = torch.arange(excluded.shape[1], device=excluded.device)
    shifted = torch.where(excluded < size, excluded - shift, size)
    return draws + torch.searchsorted(shifted, draws, right=True)


def _places(rows: Tensor, candidates: Tensor) -> Tensor:
    """Where among the candidates rows are; -1 where they are none of them."""
    places = torch.searchsorted(candidates, rows.contiguous()).clamp_max(len(candidates) - 1)
    return places.masked_fill(candidates[places] != rows, -1)


def _draw(batch_size: int, num: int, seeds: Sequence[int] | None) -> Tensor:
    if seeds is None:
        return torch.randint(_DRAWS, (batch_size, num))
    generator = torch.Generator()
    rows = [
        torch.randint(_DRAWS, (num,), generator=generator.manual_seed(_NEGATIVES_SEED + seed))
        for seed in seeds
    ]
    return torch.stack(rows)
