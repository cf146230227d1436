"""Sampler whose order is known for any step, so that training can resume at any step."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
from mmaction.registry import DATA_SAMPLERS
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from ...utils.dist import split_sizes


class SampleIndex(int):
    """Index of a sample, with the seed of its augmentations and of its batch.

    Args:
        index (int): Row of the sample in its data set.
        seed (int): Seeds whatever is drawn while the sample is loaded and augmented.
        global_batch_size (int): Samples of all ranks in its batch.
        batch_seed (int): Seeds what is drawn once for the batch of all ranks.
    """

    seed: int
    global_batch_size: int
    batch_seed: int

    def __new__(cls, index: int, seed: int, global_batch_size: int, batch_seed: int) -> SampleIndex:
        """Make the index."""
        self = super().__new__(cls, index)
        self.seed = seed
        self.global_batch_size = global_batch_size
        self.batch_seed = batch_seed
        return self

    def moved_to(self, index: int) -> SampleIndex:
        """Another sample in the same place, with its own random choices."""
        seed = (self.seed + 1) % 2**32
        return SampleIndex(index, seed, self.global_batch_size, self.batch_seed)

    def __reduce__(self) -> tuple:
        """Go to a worker process as a whole."""
        return SampleIndex, (int(self), self.seed, self.global_batch_size, self.batch_seed)


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler[SampleIndex]):
    """Sampler that gives every sample once an epoch, in an order set by seed and epoch alone.

    The order is cut into global batches and each of them into one stretch a rank. So the global
    batches, the order of samples within them, and (each index carries a seed of its own) the
    augmentations are the same on any number of ranks and workers. An epoch can start at any batch
    without loading the ones before. For :class:`ResumableTrainLoop`, which tells it the batch size.

    Without ``drop_last`` the last global batch is smaller, and on some ranks by one sample more;
    where not every rank would get one, it is left out.

    With ``samples_per_epoch`` an epoch is a stretch of passes over the data set, each in an order
    of its own, and the next epoch goes on where it ends: after any number of epochs no sample has
    come more than once more often than another.

    Args:
        dataset (Sized): The data set.
        shuffle (bool): Draw a new order each epoch. Defaults to True.
        repeats (int): How often each sample comes in an epoch, with other random choices each
            time. Defaults to 1.
        samples_per_epoch (int, optional): Samples of an epoch, fewer or more than the data set has;
            ``repeats`` then does nothing. Defaults to None: the data set's times ``repeats``.
        seed (int, optional): Set by the loop. Defaults to None.

    Raises:
        ValueError: If a number is below 1.
    """

    def __init__(
        self,
        dataset: Sized,
        shuffle: bool = True,
        repeats: int = 1,
        samples_per_epoch: int | None = None,
        seed: int | None = None,
    ) -> None:
        if repeats < 1:
            raise ValueError(f"repeats must be at least 1, got {repeats}")
        if samples_per_epoch is not None and samples_per_epoch < 1:
            raise ValueError(f"samples_per_epoch must be at least 1, got {samples_per_epoch}")
        self.rank, self.world_size = get_dist_info()
        self.samples_per_epoch = samples_per_epoch
        self.num_samples = samples_per_epoch or len(dataset) * repeats
        self.dataset_size = len(dataset)
        self.shuffle = shuffle
        self.seed = 0 if seed is None else seed
        self.epoch = 0
        self.start_batch = 0
        self.batch_size: int | None = None
        self.drop_last = False

    def bind(self, batch_size: int, drop_last: bool) -> None:
        """Set the batch size, and whether the last batch is left out.

        Args:
            batch_size (int): Samples a rank and batch.
            drop_last (bool): Leave out the last batch of an epoch if it is not full.

        Raises:
            ValueError: If an epoch would have no batch.
        """
        self.batch_size, self.drop_last = batch_size, drop_last
        if self.num_batches == 0:
            raise ValueError(
                f"{self.num_samples} training samples make no batch of {batch_size} on each of "
                f"{self.world_size} ranks: use a smaller batch, or drop_last=False"
            )

    @property
    def global_batch_size(self) -> int:
        """Samples in a full batch of all ranks."""
        if self.batch_size is None:
            raise RuntimeError(
                "ResumableSampler does not know the batch size yet: use it with "
                "train_cfg=dict(type='ResumableTrainLoop')"
            )
        return self.batch_size * self.world_size

    @property
    def num_batches(self) -> int:
        """Number of batches of a whole epoch."""
        full, rest = divmod(self.num_samples, self.global_batch_size)
        return full + (not self.drop_last and rest >= self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; start at its first batch."""
        self.set_position(epoch, 0)

    def set_position(self, epoch: int, start_batch: int) -> None:
        """Set the place where the next iteration starts.

        Args:
            epoch (int): Epoch, from 0.
            start_batch (int): Batches of that epoch that are done.
        """
        self.epoch, self.start_batch = epoch, start_batch

    def __len__(self) -> int:
        """Number of samples of this rank in a whole epoch."""
        full, rest = divmod(self.num_samples, self.global_batch_size)
        last = 0 if self.num_batches == full else split_sizes(rest, self.world_size)[self.rank]
        return full * (self.global_batch_size // self.world_size) + last

    def __iter__(self) -> Iterator[SampleIndex]:
        """Iterate over the indices of this rank, from the set position to the end of the epoch."""
        order = self._order(np.random.default_rng([self.seed, self.epoch]))
        for batch in range(self.start_batch, self.num_batches):
            first = batch * self.global_batch_size
            total = min(self.global_batch_size, self.num_samples - first)
            sizes = split_sizes(total, self.world_size)
            batch_seed = self._draw_seed(batch, 1)
            first += sum(sizes[: self.rank])
            for position in range(first, first + sizes[self.rank]):
                seed = self._draw_seed(position)
                yield SampleIndex(int(order[position]), seed, total, batch_seed)

    def _draw_seed(self, *numbers: int) -> int:
        """A seed of 32 bits for a place in the epoch."""
        sequence = np.random.SeedSequence([self.seed, self.epoch, *numbers])
        return int(sequence.generate_state(1)[0])

    def _order(self, generator: np.random.Generator) -> np.ndarray:
        """Samples of the whole epoch, all ranks."""
        if self.samples_per_epoch is None:
            return self._shuffled(self.num_samples, generator) % self.dataset_size
        full = self.num_batches * self.global_batch_size
        start = self.epoch * min(full, self.num_samples)  # what fills no batch is not passed over
        number, skipped = divmod(start, self.dataset_size)
        parts, length = [], -skipped
        while length < self.num_samples:
            one = self._shuffled(self.dataset_size, np.random.default_rng([self.seed, number]))
            parts.append(one[max(0, -length) : self.num_samples - length].copy())
            number, length = number + 1, length + self.dataset_size
        return np.concatenate(parts)

    def _shuffled(self, size: int, generator: np.random.Generator) -> np.ndarray:
        # 65 million rows are 0.25 GB for each rank; the order does not depend on the type.
        order = np.arange(size, dtype=np.int32 if size < 2**31 else np.int64)
        if self.shuffle:
            generator.shuffle(order)
        return order
