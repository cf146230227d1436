"""Assignment of rows to their nearest centroids."""

from __future__ import annotations

import numpy as np

_BLOCK = 4096  # rows at a time, so that their products stay in the cache
_PAIRS = 128  # rows and centroids whose differences are taken at a time


def nearest_centroids(features: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest centroid of each row, and its distance.

    The centroid is the one that double precision finds, of equally near ones the first: products of
    matrices in float32 decide only where their rounding cannot matter. So what is found for a row
    depends neither on the rows beside it nor on the number of threads.

    Args:
        features (np.ndarray): `(n, d)`, float32, finite.
        centroids (np.ndarray): `(k, d)`, float32, finite.

    Returns:
        tuple: Numbers of centroids `(n,)`, int32, and Euclidean distances `(n,)`, float32.

    Raises:
        ValueError: If the two differ in d.
    """
    if features.ndim != 2 or centroids.ndim != 2 or features.shape[1] != centroids.shape[1]:
        raise ValueError(
            f"expected features (n, d) and centroids (k, d), got {features.shape} and "
            f"{centroids.shape}"
        )
    # Of equal centroids only the first can be the nearest.
    distinct = np.sort(np.unique(centroids, axis=0, return_index=True)[1])
    centroids = centroids[distinct]
    # Around their middle, features that are much alike lose less to rounding.
    middle = centroids.mean(axis=0)
    centred = centroids - middle
    squares = np.einsum("kd,kd->k", centred, centred)
    labels = np.empty(len(features), dtype=np.int32)
    distances = np.empty(len(features), dtype=np.float32)
    for start in range(0, len(features), _BLOCK):
        block = features[start : start + _BLOCK]
        found = _search(block, centroids, middle, centred, squares)
        difference = block - centroids[found]
        labels[start : start + _BLOCK] = distinct[found]
        distances[start : start + _BLOCK] = np.sqrt(np.einsum("nd,nd->n", difference, difference))
    return labels, distances


def _search(
    features: np.ndarray,
    centroids: np.ndarray,
    middle: np.ndarray,
    centred: np.ndarray,
    squares: np.ndarray,
) -> np.ndarray:
    """Numbers of the nearest centroids, of which no two are equal."""
    x = features - middle
    scores = x @ (-2 * centred.T)
    scores += squares
    rows = np.arange(len(x))
    found = scores.argmin(axis=1)
    best = scores[rows, found]
    # Bound of the error of a score: the product of d terms, the sum, and that of centring.
    largest = np.sqrt(squares.max())
    length = np.sqrt(np.einsum("nd,nd->n", x, x)) + largest
    offset = np.sqrt(middle @ middle)
    error = np.finfo(np.float32).eps * largest * (len(middle) * length + 4 * (length + offset))
    limit = best + 2 * error
    scores[rows, found] = np.inf
    unsure = np.flatnonzero(scores.min(axis=1) <= limit)
    if len(unsure):
        scores[unsure, found[unsure]] = best[unsure]
        row, column = np.nonzero(scores[unsure] <= limit[unsure, None])
        exact = np.empty(len(row))
        for start in range(0, len(row), _PAIRS):
            part = slice(start, start + _PAIRS)
            difference = features[unsure[row[part]]].astype(np.float64)
            difference -= centroids[column[part]]
            exact[part] = np.einsum("pd,pd->p", difference, difference)
        order = np.lexsort((column, exact, row))
        found[unsure] = column[order[np.searchsorted(row, np.arange(len(unsure)))]]
    return found
