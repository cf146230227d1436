"""One clustering of all samples, over all ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from mmengine import dist
from mmengine.logging import print_log

from ..models.memories.gather import gather_batch
from ..utils import split_sizes
from .assignment import nearest_centroids
from .feature_source import FeatureSource
from .kmeans import fit_kmeans, resolve_backend
from .whitening import Whitening, fit_whitening


@dataclass
class Clustering:
    """What :func:`cluster` found.

    Args:
        labels (np.ndarray): Cluster of each row of the source `(N,)`, int32.
        distances (np.ndarray): Euclidean distance to the own centroid, in the space that was
            clustered, `(N,)`, float32.
        centroids (np.ndarray): `(k, d)`, float32.
        num_split (int): Empty clusters that were split off larger ones, while and after fitting.
        whitening (Whitening, optional): What was applied before; None without PCA.
    """

    labels: np.ndarray
    distances: np.ndarray
    centroids: np.ndarray
    num_split: int
    whitening: Whitening | None


def cluster(
    source: FeatureSource,
    num_clusters: int,
    *,
    seed: int,
    pca_dim: int | None = None,
    num_iterations: int = 20,
    max_points_per_centroid: int = 256,
    backend: str = "auto",
    chunk_size: int = 16384,
) -> Clustering:
    """First working form."""
    backend = resolve_backend(backend)
    if not 1 <= num_clusters <= len(source):
        raise ValueError(
            f"num_clusters must be from 1 to the number of rows, {len(source)}, got {num_clusters}"
        )
    fitted = [None]
    if dist.is_main_process():
        num = min(len(source), max_points_per_centroid * max(num_clusters, pca_dim or 1))
        rows = np.random.default_rng(seed).choice(len(source), num, replace=False, shuffle=False)
        sample = source.read(np.sort(rows))
        whitening = None
        if pca_dim is not None:
            whitening = fit_whitening(sample, pca_dim)
            sample = whitening(sample)
        centroids, num_split = fit_kmeans(
            sample, num_clusters, seed=seed, num_iterations=num_iterations, backend=backend
        )
        fitted = [(centroids, num_split, whitening)]
    dist.broadcast_object_list(fitted)
    centroids, num_split, whitening = fitted[0]
    labels, distances = _assign(source, centroids, whitening, chunk_size)
    empty = num_clusters - len(np.unique(labels))
    if empty and dist.is_main_process():
        print_log(f"k-means: {empty} of {num_clusters} clusters are empty", logger="current")
    return Clustering(labels, distances, centroids, num_split, whitening)


def _assign(
    source: FeatureSource, centroids: np.ndarray, whitening: Whitening | None, chunk_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and distances of all rows; each rank does a share."""
    sizes = split_sizes(len(source), dist.get_world_size())
    start = sum(sizes[: dist.get_rank()])
    stop = start + sizes[dist.get_rank()]
    labels = torch.empty(stop - start, dtype=torch.int32)
    distances = torch.empty(stop - start)
    for first in range(start, stop, chunk_size):
        features = source.read(slice(first, min(first + chunk_size, stop)))
        if whitening is not None:
            features = whitening(features)
        part = slice(first - start, first - start + len(features))
        found = nearest_centroids(features, centroids)
        labels[part], distances[part] = (torch.from_numpy(x) for x in found)
    return gather_batch(labels, sizes).numpy(), gather_batch(distances, sizes).numpy()
