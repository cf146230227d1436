"""K-means by faiss or scikit-learn."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np


def resolve_backend(backend: str) -> str:
    """Choose the library of k-means.

    Args:
        backend (str): ``'faiss'``, ``'sklearn'``, or ``'auto'``: faiss where it is installed.

    Returns:
        str: ``'faiss'`` or ``'sklearn'``.

    Raises:
        ValueError: If it is none of these.
        RuntimeError: If it is faiss, which is not installed.
    """
    if backend not in ("auto", "faiss", "sklearn"):
        raise ValueError(f"backend must be 'auto', 'faiss' or 'sklearn', got {backend!r}")
    installed = find_spec("faiss") is not None
    if backend == "faiss" and not installed:
        raise RuntimeError("backend='faiss' needs the package faiss-cpu, which is not installed")
    return "faiss" if backend != "sklearn" and installed else "sklearn"


def fit_kmeans(
    features: np.ndarray, num_clusters: int, *, seed: int, num_iterations: int, backend: str
) -> tuple[np.ndarray, int]:
    """Fit centroids; the same arguments give the same bits.

    Args:
        features (np.ndarray): Finite rows `(n, d)`, float32, ``n >= num_clusters``.
        num_clusters (int): k.
        seed (int): From 0 to 2**31 - 1.
        num_iterations (int): Of Lloyd's algorithm; passes over the features with scikit-learn.
        backend (str): ``'faiss'`` or ``'sklearn'`` (``MiniBatchKMeans``).

    Returns:
        tuple: Centroids `(k, d)`, float32, and how many empty clusters the library split off
        larger ones (faiss tells, scikit-learn does not: 0).
    """
    if backend == "faiss":
        # Here, since it takes a second and may be missing.
        import faiss

        kmeans = faiss.Kmeans(
            features.shape[1],
            num_clusters,
            niter=num_iterations,
            seed=seed,
            min_points_per_centroid=1,
            max_points_per_centroid=len(features),
        )
        kmeans.train(np.ascontiguousarray(features))
        num_split = sum(stats["nsplit"] for stats in kmeans.iteration_stats or ())
        return kmeans.centroids.reshape(num_clusters, -1).copy(), int(num_split)
    from sklearn.cluster import MiniBatchKMeans

    # Stopping early would depend on a sum whose rounding depends on the threads' order.
    kmeans = MiniBatchKMeans(
        num_clusters,
        max_iter=num_iterations,
        batch_size=4096,
        n_init=1,
        tol=0.0,
        max_no_improvement=None,
        random_state=seed,
    )
    return kmeans.fit(features).cluster_centers_.astype(np.float32), 0
