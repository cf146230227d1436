"""Quality of clusters: agreement with labels, and purity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class ClusterPurity(NamedTuple):
    """A row of the purity table.

    Args:
        cluster (int): Its number.
        size (int): Samples in it.
        purity (float): Share of the most frequent class, from 0 to 1.
        concepts (list[tuple[str, float]]): The most frequent classes and their shares.
    """

    cluster: int
    size: int
    purity: float
    concepts: list[tuple[str, float]]


def normalized_mutual_information(labels_a: np.ndarray, labels_b: np.ndarray) -> float:
    """Compute NMI of two labelings, `I(A; B) / sqrt(H(A) H(B))` (Caron et al. 2018).

    Args:
        labels_a (np.ndarray): Clusters or classes `(N,)`; -1 where there is none.
        labels_b (np.ndarray): Others of the same samples `(N,)`. Only samples with both count.

    Returns:
        float: From 0, independent, to 1, the same up to names.

    Raises:
        ValueError: If the shapes differ, or no sample has both.
    """
    a, b = _both(labels_a, labels_b)
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(a, b, average_method="geometric"))


def purity_table(
    labels: np.ndarray, classes: np.ndarray, class_names: Sequence[str], top: int = 3
) -> list[ClusterPurity]:
    """Rank clusters by purity, with their most frequent classes (XDC, table 6).

    Args:
        labels (np.ndarray): Clusters `(N,)`; -1 for samples left out.
        classes (np.ndarray): Classes of the same samples `(N,)`; -1 where it is unknown, such
            samples do not count.
        class_names (Sequence[str]): Name of each class.
        top (int): Classes named of each cluster. Defaults to 3.

    Returns:
        list[ClusterPurity]: One for each cluster that has samples, the purest first; of equally
        pure ones the larger, then the lower number. Equally frequent classes go by their number.

    Raises:
        ValueError: If the shapes differ, no sample has both, ``top`` is below 1, or a class has no
            name.
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    labels, classes = _both(labels, classes)
    if classes.max() >= len(class_names):
        raise ValueError(f"class {classes.max()} has no name: got {len(class_names)} names")
    shape = (labels.max() + 1, len(class_names))
    cells = labels.astype(np.int64) * len(class_names) + classes
    counts = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
    table = []
    for cluster in np.unique(labels).tolist():
        size = int(counts[cluster].sum())
        ranked = np.argsort(-counts[cluster], kind="stable")[:top].tolist()
        concepts = [
            (class_names[i], int(counts[cluster, i]) / size) for i in ranked if counts[cluster, i]
        ]
        table.append(ClusterPurity(cluster, size, concepts[0][1], concepts))
    return sorted(table, key=lambda row: (-row.purity, -row.size, row.cluster))


def _both(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The samples that have both labels."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"expected labels of the same samples (N,), got {a.shape} and {b.shape}")
    valid = (a >= 0) & (b >= 0)
    if not valid.any():
        raise ValueError(f"none of {len(a)} samples has both labels: expected some that are not -1")
    return a[valid], b[valid]
