"""Batch of one rank, and its place in the batch of all ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from mmengine import dist
from mmengine.structures import BaseDataElement
from torch import Tensor

from .gather import gather_batch
from .split import split_sizes


@dataclass(frozen=True)
class RankBatch:
    """Batch of one rank: row numbers, seeds, and the sizes of all ranks' batches.

    Attributes:
        numbers (tuple[int, ...]): Row numbers of this rank's videos in the training list.
        rows (Tensor): The same `(B,)`, on the device.
        sizes (tuple[int, ...]): B of every rank.
        seeds (tuple[int, ...] | None): Seed of each sample, the same on whichever rank it is; None
            with samplers that give none.
        seed (int | None): Seed of the batch of all ranks, the same on each; None likewise.
    """

    numbers: tuple[int, ...]
    rows: Tensor
    sizes: tuple[int, ...]
    seeds: tuple[int, ...] | None
    seed: int | None

    @classmethod
    def from_samples(
        cls, samples: Sequence[BaseDataElement] | None, size: int, device: torch.device
    ) -> RankBatch:
        """Make a batch from the metadata of its samples.

        The last batch of an epoch may be smaller on some ranks. :class:`ResumableSampler` divides
        it by a rule and gives each sample the size of the global batch, ``global_batch_size``, so
        that no rank has to ask the others. Without it all ranks have batches of one size.

        Args:
            samples (Sequence[BaseDataElement], optional): One a video, with ``sample_idx``, its
                row number.
            size (int): Videos that the model was given.
            device (torch.device): Where ``rows`` are needed.

        Raises:
            ValueError: If there is not one sample a video, a sample has no row number, or the
                batch is not this rank's share of the global batch.
        """
        if samples is None or len(samples) != size:
            raise ValueError(f"mode='loss' needs one data sample for each of {size} videos")
        if any("sample_idx" not in sample for sample in samples):
            raise ValueError(
                "data samples lack 'sample_idx', the video's row number in its list: use "
                "AudioVisualDataset and PackAudioVisual"
            )
        numbers = tuple(int(sample.sample_idx) for sample in samples)
        seeds = None
        if all("sample_seed" in sample for sample in samples):
            seeds = tuple(sample.sample_seed for sample in samples)
        sizes = (size,) * dist.get_world_size()
        if "global_batch_size" in samples[0]:
            sizes = tuple(split_sizes(samples[0].global_batch_size, dist.get_world_size()))
        rank = dist.get_rank()
        if size != sizes[rank]:
            raise ValueError(
                f"rank {rank} has {size} samples of a global batch of {sum(sizes)}, expected "
                f"{sizes[rank]}"
            )
        rows = torch.tensor(numbers).to(device, non_blocking=True)
        return cls(numbers, rows, sizes, seeds, samples[0].get("batch_seed"))

    @property
    def weight(self) -> float:
        """Weight of this rank's loss, so that the mean over ranks is the mean over samples."""
        return self.sizes[dist.get_rank()] * len(self.sizes) / sum(self.sizes)

    @cached_property
    def all_rows(self) -> Tensor:
        """Row numbers of all ranks' videos `(sum of sizes,)`."""
        return gather_batch(self.rows, self.sizes)
