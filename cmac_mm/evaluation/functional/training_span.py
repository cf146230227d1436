"""Long features in as few dimensions as there are training clips, for linear classifiers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_BLOCK_BYTES = 2**28  # of float64


def reduce_to_training_span(train_x: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standardise features, and write them in a basis of the space that the training ones span.

    A linear SVM's weights are a sum of training features, and neither its loss nor the length of
    its weights changes when the axes are turned: on what this returns it is the same SVM, with the
    same decision values, and at most n values a clip in place of D. The basis is that of the
    Cholesky factor, with pivoting, of the products of all pairs of training clips: n x (n + m)
    numbers are kept, and a few columns of the features at a time.

    Args:
        train_x (np.ndarray): Training features (n, D), as they are.
        x (np.ndarray): Other features (m, D).

    Returns:
        tuple[np.ndarray, np.ndarray]: (n, rank) and (m, rank), float64. Standardised by the
        training features' means and deviations, as :func:`standardise` does.
    """
    from scipy.linalg import solve_triangular
    from scipy.linalg.lapack import dpstrf

    gram = np.zeros((len(train_x), len(train_x)))
    cross = np.zeros((len(train_x), len(x)))
    for train_part, part in _standardised_columns(train_x, x):
        gram += train_part @ train_part.T
        cross += train_part @ part.T
    factor, pivots, rank, _ = dpstrf(gram, lower=1, overwrite_a=1)
    pivots = pivots - 1  # counted from 1
    factor = np.tril(factor)[:, :rank]
    reduced = np.empty_like(factor)
    reduced[pivots] = factor
    others = solve_triangular(factor[:rank], cross[pivots[:rank]], lower=True)
    return reduced, np.ascontiguousarray(others.T)


def _standardised_columns(
    train_x: np.ndarray, x: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A few columns after the other."""
    width = max(1, _BLOCK_BYTES // (8 * (len(train_x) + len(x))))
    for start in range(0, train_x.shape[1], width):
        train_part, part = (a[:, start : start + width].astype(np.float64) for a in (train_x, x))
        mean, std = train_part.mean(axis=0), train_part.std(axis=0)
        # Rounding makes a constant column's deviation more than 0.
        std[std <= 1e-7 * np.abs(mean)] = 1.0
        std[std == 0] = 1.0
        yield (train_part - mean) / std, (part - mean) / std
