"""Retrieval of gallery items of the query's class."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from .retrieval import chance_recall, nearest_neighbours, recall_at_k


def identical_files(queries: Sequence[str], gallery: Sequence[str]) -> list[bool]:
    """Find the queries whose file has the same bytes as some file of the gallery.

    Only files of equal size are read. Those that are not local count as different.

    Args:
        queries (Sequence[str]): Files.
        gallery (Sequence[str]): Files.

    Returns:
        list[bool]: One a query.
    """
    by_size: defaultdict[int, list[Path]] = defaultdict(list)
    for name in gallery:
        if Path(name).is_file():
            by_size[Path(name).stat().st_size].append(Path(name))
    digests: dict[Path, bytes] = {}

    def digest(path: Path) -> bytes:
        if path not in digests:
            digests[path] = hashlib.sha256(path.read_bytes()).digest()
        return digests[path]

    found = []
    for name in queries:
        path = Path(name)
        twins = by_size.get(path.stat().st_size, []) if path.is_file() else []
        found.append(any(digest(twin) == digest(path) for twin in twins))
    return found


def class_retrieval(
    features: Tensor,
    labels: Tensor,
    in_gallery: Tensor,
    files: Sequence[str],
    ks: Sequence[int] = (1, 5, 10, 20, 50),
    chunk_size: int = 1024,
    distance: str = "cosine",
) -> tuple[dict[str, float], list[str]]:
    """Compute recalls at several ranks beside chance, with and without duplicates.

    A query may have a duplicate in the gallery: a file of the same bytes, or the same feature.

    Args:
        features (Tensor): Features of the gallery and the queries, (N, C).
        labels (Tensor): Integer class of each, (N,).
        in_gallery (Tensor): Whether it belongs to the gallery, bool, (N,).
        files (Sequence[str]): The file of each.
        ks (Sequence[int]): Ranks to report; those larger than the gallery are left out. Defaults to
            (1, 5, 10, 20, 50).
        chunk_size (int): Queries compared with the gallery at a time. Defaults to 1024.
        distance (str): ``'cosine'`` or ``'euclidean'``. Defaults to ``'cosine'``.

    Returns:
        tuple[dict[str, float], list[str]]: ``R@1``, ... in [0, 1], ``chance_R@1``, ...,
        ``num_gallery``, ``num_query``, ``num_duplicates`` and, where there are duplicates,
        ``R@1_without_duplicates``, ...; and what a reader of the figures must know.

    Raises:
        ValueError: If there is no gallery or no query, or a feature is refused by
            :func:`recall_at_k`.
    """
    if in_gallery.all() or not in_gallery.any():
        raise ValueError(
            f"{int(in_gallery.sum())} gallery items and {int((~in_gallery).sum())} queries: "
            "expected both"
        )
    gallery, gallery_labels = features[in_gallery], labels[in_gallery]
    query, query_labels = features[~in_gallery], labels[~in_gallery]
    gallery_files = [files[row] for row in in_gallery.nonzero()[:, 0].tolist()]
    query_files = [files[row] for row in (~in_gallery).nonzero()[:, 0].tolist()]
    notes = []
    possible = [k for k in ks if k <= len(gallery)]
    if len(possible) < len(ks):
        notes.append(f"the gallery has only {len(gallery)} items: recall is reported at {possible}")

    def recall(rows: Tensor) -> dict[int, float]:
        return recall_at_k(
            query[rows],
            gallery,
            query_labels[rows],
            gallery_labels,
            possible,
            chunk_size,
            distance=distance,
        )

    everyone = torch.ones(len(query), dtype=torch.bool)
    scores = {f"R@{k}": value for k, value in recall(everyone).items()}
    chance = chance_recall(query_labels, gallery_labels, possible)
    scores.update({f"chance_R@{k}": value for k, value in chance.items()})
    scores.update(num_gallery=len(gallery), num_query=len(query))
    _, best = nearest_neighbours(query, gallery, 1, chunk_size, distance)
    same_feature = best[:, 0] == (1 if distance == "cosine" else 0)
    twins = same_feature | torch.tensor(identical_files(query_files, gallery_files))
    scores["num_duplicates"] = int(twins.sum())
    if twins.any():
        examples = [query_files[row] for row in twins.nonzero()[:3, 0].tolist()]
        notes.append(
            f"{int(twins.sum())} of {len(query)} queries have a duplicate in the gallery (the same "
            f"file or the same feature): {', '.join(examples)}{' ...' if twins.sum() > 3 else ''}"
        )
        if not twins.all():
            others = recall(~twins)
            scores.update({f"R@{k}_without_duplicates": v for k, v in others.items()})
    absent = sorted(set(query_labels.tolist()) - set(gallery_labels.tolist()))
    if absent:
        notes.append(f"queries of classes {absent} can find nothing: the gallery has none")
    return scores, notes
