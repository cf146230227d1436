"""Quality of memory banks and mined positives."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ...mining import mine_positives


def positive_precision(
    positives: Tensor,
    labels: Tensor,
    ks: Sequence[int] = (1, 4, 8, 16, 32),
    rows: Tensor | None = None,
) -> dict[str, float]:
    """Precision of the first k positives by class, averaged over videos.

    Precision@K of AVID+CMA's Figure 4c, and what positives drawn at random would give.

    Args:
        positives (Tensor): Row numbers `(R, K)`, best first; -1 for none.
        labels (Tensor): Classes of all N videos `(N,)`; -1 where it is unknown: neither such videos
            nor such positives count.
        ks (Sequence[int]): Values of k; those above K are left out. Defaults to (1, 4, 8, 16, 32).
        rows (Tensor, optional): Videos that the positives are of, `(R,)`. Defaults to None: all.

    Returns:
        dict[str, float]: ``precision@k`` for each k, and ``chance``.

    Raises:
        ValueError: If no video with a positive has a label, or a row number is outside the labels.
    """
    rows = torch.arange(len(positives)) if rows is None else rows.cpu()
    positives, labels = positives.cpu(), labels.cpu()
    if len(rows) and max(int(rows.max()), int(positives.max())) >= len(labels):
        raise ValueError(f"positives are of more videos than the {len(labels)} that have a label")
    own = labels[rows][:, None]
    others = labels[positives.clamp_min(0)]
    valid = (positives >= 0) & (others >= 0) & (own >= 0)
    if not valid.any():
        raise ValueError("no video with a positive has a label")
    right = valid & (others == own)
    precision = {}
    for k in ks:
        if k <= positives.shape[1]:
            count = valid[:, :k].sum(1)
            share = right[:, :k].sum(1).double() / count
            precision[f"precision@{k}"] = share[count > 0].mean().item()
    sizes = torch.bincount(labels[labels >= 0]).double()
    total = sizes.sum()
    chance = (
        (sizes * (sizes - 1)).sum() / (total * (total - 1)) if total > 1 else sizes.new_tensor(0.0)
    )
    return {**precision, "chance": chance.item()}


def mean_dot_product(bank: Tensor) -> float:
    """Mean dot product of two different rows, over all pairs: 0 if they spread over the sphere.

    AVID+CMA reports 0.23 for Cross-AVID, whose embeddings collapse in part, and 0 after CMA.

    Args:
        bank (Tensor): Unit rows `(N, D)`, N >= 2.

    Returns:
        float: The mean.

    Raises:
        ValueError: If there are fewer than two rows.
    """
    if len(bank) < 2:
        raise ValueError(f"expected two rows or more, got {len(bank)}")
    # All pairs at once: the squared length of the sum, less the products of rows with themselves.
    total = bank.sum(0, dtype=torch.double).square().sum()
    own = bank.square().sum(dtype=torch.double)
    return ((total - own) / (len(bank) * (len(bank) - 1))).item()


def neighbour_agreement(
    visual_bank: Tensor,
    audio_bank: Tensor,
    num_neighbours: int = 32,
    num_rows: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """Share of a video's nearest neighbours by video that are also nearest by audio.

    Args:
        visual_bank (Tensor): Unit rows `(N, D)`.
        audio_bank (Tensor): Unit rows `(N, D)`.
        num_neighbours (int): Neighbours in each modality. Defaults to 32.
        num_rows (int): Videos looked at, drawn with ``seed``. Defaults to 1000.
        seed (int): Defaults to 0.

    Returns:
        dict[str, float]: ``neighbour_agreement``, mean over videos, and ``chance``.
    """
    rows = sample_rows(len(visual_bank), num_rows, seed).to(visual_bank.device)
    count = min(num_neighbours, len(visual_bank) - 1)
    by_picture, by_sound = (
        mine_positives(visual_bank, audio_bank, count, mode, rows=rows)
        for mode in ("visual", "audio")
    )
    shared = (by_picture[:, :, None] == by_sound[:, None, :]).any(2)
    return {
        "neighbour_agreement": shared.double().mean().item(),
        "chance": count / (len(visual_bank) - 1),
    }


def pair_similarities(bank: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Compute dot products of chosen pairs.

    Args:
        bank (Tensor): Unit rows `(N, D)`.
        rows (Tensor): `(R,)`.
        columns (Tensor): For each of them, others `(R, M)`.

    Returns:
        Tensor: `(R, M)`.
    """
    return torch.einsum("rd,rmd->rm", bank[rows], bank[columns])


def rejected_negatives(
    visual_bank: Tensor, audio_bank: Tensor, positives: Tensor, rows: Tensor, num: int = 3
) -> Tensor:
    """Find the most similar videos by video features that are no positives: their audio differs.

    Args:
        visual_bank (Tensor): Unit rows `(N, D)`.
        audio_bank (Tensor): Unit rows `(N, D)`.
        positives (Tensor): Positives of the rows `(R, K)`; -1 for none.
        rows (Tensor): `(R,)`.
        num (int): Negatives a row. Defaults to 3.

    Returns:
        Tensor: Row numbers `(R, num)`, most similar first; -1 where there are no more.
    """
    count = positives.shape[1] + num
    near = mine_positives(visual_bank, audio_bank, count, "visual", rows=rows)
    rejected = torch.full((len(rows), num), -1)
    for row, (candidates, own) in enumerate(zip(near.tolist(), positives.tolist(), strict=True)):
        taken = {*own, -1}
        left = [column for column in candidates if column not in taken][:num]
        rejected[row, : len(left)] = torch.tensor(left, dtype=torch.long)
    return rejected


def sample_rows(size: int, num: int, seed: int = 0) -> Tensor:
    """Draw different rows, in ascending order.

    Args:
        size (int): Rows that there are.
        num (int): Rows wanted; all if there are no more.
        seed (int): Defaults to 0.

    Returns:
        Tensor: Row numbers.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(size, generator=generator)[:num].sort().values
