"""Sampler that draws all clusters equally often."""

from __future__ import annotations

from collections.abc import Sequence, Sized

import numpy as np
from mmaction.registry import DATA_SAMPLERS

from ...utils.dist import split_sizes
from .resumable_sampler import ResumableSampler


@DATA_SAMPLERS.register_module()
class ClusterBalancedSampler(ResumableSampler):
    """Sampler that draws equally many samples of each cluster (DeepCluster, Caron et al. 2018).

    An epoch has as many samples as without balancing. Each cluster that has members gets an equal
    share of them; the members of a small one come several times, of a large one some are left
    out, drawn anew each epoch. With several clusterings (MDC, XDC) each gets an equal part of the
    epoch, balanced over its clusters. Samples without a cluster (-1) do not come.

    Which clusters there are is told by ``ClusteringHook``. All else is :class:`ResumableSampler`'s:
    the order depends on seed, epoch and clusters alone.

    Args:
        dataset (Sized): The data set.
        repeats (int): Samples of an epoch, as a multiple of the data set's. Defaults to 1.
        samples_per_epoch (int, optional): Samples of an epoch, in place of ``repeats``; each epoch
            draws them anew. Defaults to None.
        seed (int, optional): Set by the loop. Defaults to None.
    """

    def __init__(
        self,
        dataset: Sized,
        repeats: int = 1,
        samples_per_epoch: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(dataset, repeats=repeats, samples_per_epoch=samples_per_epoch, seed=seed)
        self._labels: list[np.ndarray] = []

    def set_labels(self, labels: Sequence[np.ndarray]) -> None:
        """Set the clusters for the next epochs.

        Args:
            labels (Sequence[np.ndarray]): For each clustering the cluster of each sample of the
                data set `(N,)`, -1 for none.

        Raises:
            ValueError: If there are none, or they are not as many as samples.
        """
        for part in labels:
            if part.shape != (self.dataset_size,) or part.max() < 0:
                raise ValueError(
                    f"expected clusters of {self.dataset_size} samples, at least one of them not "
                    f"-1, got shape {part.shape}, maximum {part.max(initial=-1)}"
                )
        self._labels = list(labels)

    def _order(self, generator: np.random.Generator) -> np.ndarray:
        if not self._labels:
            raise RuntimeError(
                "ClusterBalancedSampler knows no clusters yet: put dict(type='ClusteringHook') "
                "into custom_hooks"
            )
        sizes = split_sizes(self.num_samples, len(self._labels))
        parts = [
            _balanced(labels, size, generator)
            for labels, size in zip(self._labels, sizes, strict=True)
        ]
        return generator.permutation(np.concatenate(parts))


def _balanced(labels: np.ndarray, total: int, generator: np.random.Generator) -> np.ndarray:
    """Samples, equally many of each cluster; what does not divide goes to clusters at random."""
    by_cluster = np.argsort(labels, kind="stable")[np.count_nonzero(labels < 0) :]
    counts = np.bincount(labels[by_cluster])
    clusters = np.split(by_cluster, np.cumsum(counts)[:-1])
    clusters = [members for members in clusters if len(members)]
    shares = generator.permutation(split_sizes(total, len(clusters)))
    drawn = []
    for members, share in zip(clusters, shares, strict=True):
        rounds, rest = divmod(int(share), len(members))
        drawn += [np.tile(members, rounds), generator.choice(members, rest, replace=False)]
    return np.concatenate(drawn)
