"""How large the batches of the ranks are where they differ."""

from collections.abc import Sequence

from mmengine import dist
from mmengine.structures import BaseDataElement

from .split import split_sizes


def rank_sizes(data_samples: Sequence[BaseDataElement] | None) -> list[int] | None:
    """Batch size of every rank.

    The last batch of an epoch may be smaller on some ranks. :class:`ResumableSampler` divides it by
    a rule, and tells each sample the size of the global batch, so nobody has to ask around.

    Args:
        data_samples (Sequence[BaseDataElement], optional): This rank's batch.

    Returns:
        list[int] | None: The sizes, or None where all have the same.

    Raises:
        ValueError: If this rank's batch is not what the rule says.
    """
    if not data_samples or "global_batch_size" not in data_samples[0]:
        return None
    sizes = split_sizes(data_samples[0].global_batch_size, dist.get_world_size())
    if len(data_samples) != sizes[dist.get_rank()]:
        raise ValueError(
            f"rank {dist.get_rank()} has {len(data_samples)} samples of a global batch of "
            f"{sum(sizes)}, expected {sizes[dist.get_rank()]}"
        )
    return None if len(set(sizes)) == 1 else sizes


def batch_weight(data_samples: Sequence[BaseDataElement] | None) -> float:
    """Weight of this rank's loss, so that the mean over ranks is the mean over samples.

    Args:
        data_samples (Sequence[BaseDataElement], optional): This rank's batch.

    Returns:
        float: 1 where all ranks have equally many samples.
    """
    sizes = rank_sizes(data_samples)
    return 1.0 if sizes is None else sizes[dist.get_rank()] * len(sizes) / sum(sizes)
