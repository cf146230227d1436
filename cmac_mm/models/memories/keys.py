"""Keys of the contrastive loss."""

from typing import NamedTuple

from torch import Tensor

from ...utils.dist import RankBatch, gather_batch_with_grad


class Keys(NamedTuple):
    """Normalised keys of each modality, of this batch and of earlier ones.

    Attributes:
        own (dict[str, Tensor]): Keys of the queries' own clips `(B, D)`; empty with one modality.
        second (dict[str, Tensor]): Keys of second clips of the same videos `(B, D)`; empty where
            there are none.
        batch (dict[str, Tensor]): Keys of all ranks `(sum of B, D)`: of the queries' own clips, or
            with one modality of the second ones.
        past (dict[str, tuple[Tensor, Tensor]]): Keys of earlier batches `(K, D)` and the row
            numbers of their videos `(K,)`; empty without queues.
    """

    own: dict[str, Tensor]
    second: dict[str, Tensor]
    batch: dict[str, Tensor]
    past: dict[str, tuple[Tensor, Tensor]]


def in_batch_keys(queries: dict[str, Tensor], batch: RankBatch) -> Keys:
    """Use the queries themselves as keys, with gradient.

    Args:
        queries (dict[str, Tensor]): Normalised embeddings `(B, D)` of each modality.
        batch (RankBatch): The batch.

    Raises:
        ValueError: If the batch of all ranks has a single video: nothing could be learned.
    """
    total = sum(batch.sizes)
    # Other ranks' row numbers are on the device: waiting for them at each step costs more.
    if total == 1 or (len(batch.numbers) == total and len(set(batch.numbers)) == 1):
        raise ValueError(
            f"the batch has {total} clip(s) of one video: with queue_size=0 its negatives are "
            "other videos of the same batch, and there are none; use a batch_size of 2 or more, "
            "and drop_last=True if the last batch of an epoch is the one, or set queue_size"
        )
    every = {name: gather_batch_with_grad(query, batch.sizes) for name, query in queries.items()}
    return Keys(queries, {}, every, {})
