"""Nearest centroids, exact."""

from __future__ import annotations

import numpy as np

_PAIRS = 4096  # rows and centroids whose differences are in memory at a time


def nearest_centroids(features: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centroid of each row and its distance, as in double precision.

    Products of matrices in float32 only sort out what cannot be the nearest, by a bound on their
    error. So the result of a row depends neither on the other rows of a block nor on the number of
    threads. Of equally near centroids it is the first.

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
    # Equal centroids: only the first of them can be the nearest.
    distinct = np.sort(np.unique(centroids, axis=0, return_index=True)[1])
    centroids = centroids[distinct]
    # Around the origin, products of rows that are much alike round less.
    center = centroids.mean(axis=0)
    x, c = features - center, centroids - center
    c_squares = np.einsum("kd,kd->k", c, c)
    scores = x @ c.T
    scores *= -2
    scores += c_squares
    # Rounding of a product of d terms, of the sums, and of the two centred factors.
    length = np.sqrt(c_squares.max())
    magnitude = np.sqrt(np.einsum("nd,nd->n", x, x)) + length + np.abs(center).max()
    error = (2 * len(center) + 16) * np.finfo(np.float32).eps * length * magnitude
    row, column = np.nonzero(scores <= (scores.min(axis=1) + error)[:, None])
    squares = np.empty(len(row))
    for start in range(0, len(row), _PAIRS):
        part = slice(start, start + _PAIRS)
        difference = features[row[part]].astype(np.float64)
        difference -= centroids[column[part]]
        squares[part] = np.einsum("pd,pd->p", difference, difference)
    order = np.lexsort((column, squares, row))
    first = order[np.searchsorted(row, np.arange(len(features)))]
    return distinct[column[first]].astype(np.int32), np.sqrt(squares[first]).astype(np.float32)
