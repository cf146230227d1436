"""K-means clustering of all samples, over all ranks."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from mmengine import dist
from mmengine.logging import print_log

from ..utils.dist import gather_batch, on_main_rank, split_sizes, wait_for_all_ranks
from .assignment import nearest_centroids
from .feature_source import FeatureSource
from .kmeans import fit_kmeans, resolve_backend
from .whitening import Whitening, fit_whitening

_WHITENING_POINTS = 256  # for each component
_ROUNDS = 20  # of splitting; each can double the number of clusters that are not empty


@dataclass
class Clustering:
    """Result of :func:`cluster`: labels, distances and centroids.

    Args:
        labels (np.ndarray): Cluster of each row of the source `(N,)`, int32.
        distances (np.ndarray): Euclidean distance to the own centroid, in the space that was
            clustered, `(N,)`, float32.
        centroids (np.ndarray): `(k, d)`, float32, in that space.
        num_split (int): How often an empty cluster was split off a larger one: in faiss' iterations
            (scikit-learn does not tell) and after the assignment of all rows.
        whitening (Whitening, optional): What was applied before; None without PCA.
        fit_seconds (float): Time of the sample, PCA-whitening and k-means.
        assign_seconds (float): Time of the assignment of all rows, and of splitting.
    """

    labels: np.ndarray
    distances: np.ndarray
    centroids: np.ndarray
    num_split: int
    whitening: Whitening | None
    fit_seconds: float
    assign_seconds: float


def cluster(
    source: FeatureSource,
    num_clusters: int,
    *,
    seed: int,
    pca_dim: int | None = None,
    num_iterations: int = 20,
    max_points_per_centroid: int | None = None,
    backend: str = "auto",
    chunk_size: int = 16384,
) -> Clustering:
    """Cluster features by k-means, as in XDC (Alwassel et al. 2020, section 3).

    To be called on all ranks. The main one fits PCA-whitening and k-means on all rows, or on a
    sample that is drawn with the seed; each rank then assigns its share of all rows to the nearest
    centroids, and all get the whole result. It is the same, to the last bit, in every run with the
    same seed, libraries and number of threads of the main rank; on how many ranks does not matter.

    Clusters left without a row are split off the largest: 2-means of its rows takes the place of
    its centroid and of the empty one's. Where there are fewer distinct rows than clusters, some
    stay empty; this is logged.

    Memory is that of the rows that k-means sees, of a few chunks, and of 16 bytes a row.
    PCA-whitening is fitted on at most 256 rows a component.

    Args:
        source (FeatureSource): Features of N samples, the same on all ranks.
        num_clusters (int): k.
        seed (int): From 0 to 2**31 - 1.
        pca_dim (int, optional): Components of PCA-whitening, which is followed by scaling to length
            1, as DeepCluster (Caron et al. 2018) does. Defaults to None: no PCA.
        num_iterations (int): Of k-means. Defaults to 20.
        max_points_per_centroid (int, optional): K-means sees a sample of so many rows for each
            cluster or, if there are more of them, principal component. Defaults to None: all rows,
            as DeepCluster does.
        backend (str): ``'faiss'``, ``'sklearn'`` (``MiniBatchKMeans``), or ``'auto'``: faiss where
            it is installed. Defaults to ``'auto'``.
        chunk_size (int): Rows read at a time. Defaults to 16384.

    Returns:
        Clustering: The same on all ranks.

    Raises:
        ValueError: If an argument is out of range, or a feature is not finite; on all ranks.
        RuntimeError: If faiss is asked for by name and not installed.
    """
    backend = resolve_backend(backend)
    for name, value, largest in (
        ("num_clusters", num_clusters, len(source)),
        ("num_iterations", num_iterations, None),
        ("max_points_per_centroid", max_points_per_centroid, None),
        ("chunk_size", chunk_size, None),
    ):
        if value is None:
            continue
        if value < 1 or (largest is not None and value > largest):
            limit = "" if largest is None else f" and at most the number of rows, {largest}"
            raise ValueError(f"{name} must be at least 1{limit}, got {value}")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed must be from 0 to 2**31 - 1, got {seed}")
    generator = np.random.default_rng(seed)
    kmeans = partial(fit_kmeans, seed=seed, num_iterations=num_iterations, backend=backend)

    begin = time.perf_counter()
    sample_size = len(source)
    if max_points_per_centroid is not None:
        sample_size = max_points_per_centroid * max(num_clusters, pca_dim or 1)
    centroids, num_split, whitening = on_main_rank(
        _fit, source, sample_size, num_clusters, pca_dim, kmeans, generator
    )
    fit_seconds = time.perf_counter() - begin
    labels, distances = _assign(source, centroids, whitening, chunk_size)
    for _ in range(_ROUNDS):
        if np.bincount(labels, minlength=num_clusters).all():
            break
        centroids, num_new = on_main_rank(
            _split_largest,
            source,
            labels,
            centroids,
            whitening,
            max_points_per_centroid,
            kmeans,
            generator,
        )
        if num_new == 0:
            break
        num_split += num_new
        labels, distances = _assign(source, centroids, whitening, chunk_size)
    assign_seconds = time.perf_counter() - begin - fit_seconds
    sizes = np.bincount(labels, minlength=num_clusters)
    _log(
        f"k-means ({backend}): {len(source)} rows in {num_clusters} clusters of {sizes.min()} to "
        f"{sizes.max()}; {num_split} empty ones split off; {fit_seconds:.1f} s to fit, "
        f"{assign_seconds:.1f} s to assign"
    )
    if not sizes.all():
        _log(
            f"k-means: {(sizes == 0).sum()} of {num_clusters} clusters stay empty, since the other "
            "ones cannot be split: are most features equal?",
            logging.WARNING,
        )
    return Clustering(
        labels, distances, centroids, num_split, whitening, fit_seconds, assign_seconds
    )


def _fit(
    source: FeatureSource,
    sample_size: int,
    num_clusters: int,
    pca_dim: int | None,
    kmeans: Callable[[np.ndarray, int], tuple[np.ndarray, int]],
    generator: np.random.Generator,
) -> tuple[np.ndarray, int, Whitening | None]:
    """Centroids, splits and whitening, from a sample of the rows."""
    sample = source.read(_draw(len(source), sample_size, generator))
    whitening = None
    if pca_dim is not None:
        few = _draw(len(sample), _WHITENING_POINTS * max(num_clusters, pca_dim), generator)
        whitening = fit_whitening(sample[few], pca_dim)
        sample = whitening(sample)
    return *kmeans(sample, num_clusters), whitening


def _assign(
    source: FeatureSource, centroids: np.ndarray, whitening: Whitening | None, chunk_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and distances of all rows; each rank does a share."""
    # Whole chunks, so that they hold the same rows on any number of ranks.
    num_chunks = -(-len(source) // chunk_size)
    bounds = np.cumsum([0, *split_sizes(num_chunks, dist.get_world_size())]) * chunk_size
    bounds = np.minimum(bounds, len(source)).tolist()
    start, stop = bounds[dist.get_rank()], bounds[dist.get_rank() + 1]
    labels = np.empty(stop - start, dtype=np.int32)
    distances = np.empty(stop - start, dtype=np.float32)
    error = None
    try:
        for first in range(start, stop, chunk_size):
            features = source.read(slice(first, min(first + chunk_size, stop)))
            if whitening is not None:
                features = whitening(features)
            part = slice(first - start, first - start + chunk_size)
            labels[part], distances[part] = nearest_centroids(features, centroids)
    except (ValueError, OSError) as caught:
        error = caught
    wait_for_all_ranks()
    _raise_any(dist.all_gather_object(error))
    sizes = np.diff(bounds).tolist()
    labels, distances = (
        gather_batch(torch.from_numpy(part), sizes).numpy() for part in (labels, distances)
    )
    return labels, distances


def _split_largest(
    source: FeatureSource,
    labels: np.ndarray,
    centroids: np.ndarray,
    whitening: Whitening | None,
    max_points_per_centroid: int | None,
    kmeans: Callable[[np.ndarray, int], tuple[np.ndarray, int]],
    generator: np.random.Generator,
) -> tuple[np.ndarray, int]:
    """New centroids, and how many empty clusters got the half of another one."""
    sizes = np.bincount(labels, minlength=len(centroids))
    centroids = centroids.copy()
    empty = np.flatnonzero(sizes == 0).tolist()
    splits = []
    for largest in np.argsort(-sizes, kind="stable")[: len(sizes) - len(empty)].tolist():
        if not empty:
            break
        members = np.flatnonzero(labels == largest)
        if max_points_per_centroid is not None:
            members = members[_draw(len(members), 2 * max_points_per_centroid, generator)]
        features = source.read(members)
        if whitening is not None:
            features = whitening(features)
        features = np.unique(features, axis=0)  # repeated rows would draw both centroids
        if len(features) < 2:
            continue
        halves = kmeans(features, 2)[0]
        if len(np.unique(nearest_centroids(features, halves)[0])) == 2:
            centroids[[largest, empty[0]]] = halves
            splits.append(f"{empty.pop(0)} off {largest} of {sizes[largest]} rows")
    if splits:
        _log(f"k-means: {len(splits)} empty clusters split: {', '.join(splits)}")
    return centroids, len(splits)


def _draw(size: int, num: int, generator: np.random.Generator) -> np.ndarray:
    """Different numbers below ``size``, rising; all if there are no more."""
    if num >= size:
        return np.arange(size)
    return np.sort(generator.choice(size, num, replace=False, shuffle=False))


def _raise_any(errors: Sequence[Exception | None]) -> None:
    """Raise the first error there is: ranks that went on alone would wait for ever."""
    for error in errors:
        if error is not None:
            raise error


def _log(message: str, level: int = logging.INFO) -> None:
    if dist.is_main_process():
        print_log(message, logger="current", level=level)
