"""Nearest-neighbour retrieval on features: pure functions, exact, in chunks."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Similarities that agree to this many decimals are ties. The same two vectors may differ in the
# last bits of their product, depending on where in the matrix they stand.
_TIE_DECIMALS = 8
_DISTANCES = ("cosine", "euclidean")


def _check_pair(query: Tensor, gallery: Tensor, distance: str) -> tuple[Tensor, Tensor]:
    """Check two feature matrices and scale them, in float64, so that no row is longer than 1.

    For cosine each row is scaled on its own; for Euclidean all alike, which leaves the order of
    neighbours as it is and gives the tolerance of ties a meaning.
    """
    if distance not in _DISTANCES:
        raise ValueError(f"distance must be one of {', '.join(_DISTANCES)}, got {distance!r}")
    pair = []
    for name, features in (("query", query), ("gallery", gallery)):
        if features.ndim != 2 or features.shape[0] == 0:
            raise ValueError(
                f"{name}: expected a matrix (N, C) with N > 0, got {tuple(features.shape)}"
            )
        features = features.detach().double()
        bad = ~torch.isfinite(features).all(dim=1)
        if bad.any():
            raise ValueError(f"{name}: row {int(bad.nonzero()[0])} has values that are not finite")
        zero = features.norm(dim=1) == 0
        if distance == "cosine" and zero.any():
            row = int(zero.nonzero()[0])
            raise ValueError(f"{name}: row {row} is all zeros, its cosine similarity is undefined")
        pair.append(features)
    query, gallery = pair
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query has {query.shape[1]} channels, gallery has {gallery.shape[1]}: expected equal"
        )
    if distance == "cosine":
        return F.normalize(query, dim=1), F.normalize(gallery, dim=1)
    longest = max(features.norm(dim=1).max() for features in pair)
    scale = longest if longest > 0 else torch.ones_like(longest)
    return query / scale, gallery / scale


def _similarities(
    query: Tensor, gallery: Tensor, distance: str, chunk_size: int
) -> Iterator[tuple[slice, Tensor]]:
    """Rows of queries and their similarities to the gallery, rounded so that equal ones tie.

    Cosine, or the negative squared Euclidean distance.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size: expected a positive number, got {chunk_size}")
    for start in range(0, len(query), chunk_size):
        rows = slice(start, start + chunk_size)
        similarity = query[rows] @ gallery.T
        if distance == "euclidean":
            lengths = query[rows].square().sum(dim=1)[:, None], gallery.square().sum(dim=1)
            similarity = 2 * similarity - lengths[0] - lengths[1]
        yield rows, similarity.round(decimals=_TIE_DECIMALS)


def _check_ks(ks: Sequence[int], available: int) -> None:
    for k in ks:
        if not 1 <= k <= available:
            raise ValueError(f"k = {k}: expected 1 <= k <= {available}, the gallery's size")


def recall_at_k(
    query: Tensor,
    gallery: Tensor,
    query_labels: Tensor,
    gallery_labels: Tensor,
    ks: Sequence[int] = (1, 5, 10, 20, 50),
    chunk_size: int = 1024,
    exclude_self: bool = False,
    distance: str = "cosine",
) -> dict[int, float]:
    """Class-level retrieval recall: a hit at k when any of the k nearest has the query's class.

    This is the protocol of the CMAC paper: test videos query the training videos, cosine
    similarity. The search is exact; at most ``chunk_size`` x N similarities are held at a time.

    Ties are resolved by the gallery's order: of two gallery items that are equally similar (to
    8 decimals), the one with the lower index is nearer. The result does not depend on
    ``chunk_size``.

    Args:
        query (Tensor): Query features, (M, C).
        gallery (Tensor): Gallery features, (N, C).
        query_labels (Tensor): Integer class of each query, (M,).
        gallery_labels (Tensor): Integer class of each gallery item, (N,).
        ks (Sequence[int]): Ranks to report. Defaults to (1, 5, 10, 20, 50).
        chunk_size (int): Queries compared with the gallery at a time. Defaults to 1024.
        exclude_self (bool): Leave gallery item i out for query i: for leave-one-out retrieval,
            where query and gallery are the same features. Defaults to False.
        distance (str): ``'cosine'``, or ``'euclidean'`` as SeLaVi has it; its ties are of squared
            distances, with the longest feature scaled to length 1. Defaults to ``'cosine'``.

    Returns:
        dict[int, float]: Recall in [0, 1] for each k.

    Raises:
        ValueError: If shapes do not fit, a feature is not finite or (for cosine) zero, or a k is
            larger than the number of gallery items (recall would then be 1 whatever the features).
    """
    query, gallery = _check_pair(query, gallery, distance)
    for name, labels, features in (
        ("query_labels", query_labels, query),
        ("gallery_labels", gallery_labels, gallery),
    ):
        if labels.shape != features.shape[:1]:
            raise ValueError(
                f"{name}: expected shape {tuple(features.shape[:1])}, got {tuple(labels.shape)}"
            )
    if exclude_self and len(query) != len(gallery):
        raise ValueError(
            f"exclude_self needs as many queries as gallery items, got {len(query)} and "
            f"{len(gallery)}"
        )
    _check_ks(ks, len(gallery) - int(exclude_self))

    query_labels = query_labels.to(query.device)
    gallery_labels = gallery_labels.to(query.device)
    gallery_index = torch.arange(len(gallery), device=query.device)
    first_hits = []
    for rows, similarity in _similarities(query, gallery, distance, chunk_size):
        if exclude_self:
            similarity[torch.arange(len(similarity)), gallery_index[rows]] = -torch.inf
        same_class = query_labels[rows, None] == gallery_labels[None, :]
        relevant = similarity.masked_fill(~same_class, -torch.inf)
        best = relevant.amax(dim=1, keepdim=True)
        is_best = (relevant == best) & same_class
        first_best = torch.where(is_best, gallery_index, len(gallery)).amin(dim=1, keepdim=True)
        ahead = (similarity > best) | ((similarity == best) & (gallery_index < first_best))
        # No relevant item at all: a miss at every k.
        rank = ahead.sum(dim=1).masked_fill(torch.isneginf(best[:, 0]), len(gallery))
        first_hits.append(rank)
    rank = torch.cat(first_hits)
    return {k: (rank < k).double().mean().item() for k in ks}


def nearest_neighbours(
    query: Tensor,
    gallery: Tensor,
    k: int = 10,
    chunk_size: int = 1024,
    distance: str = "cosine",
) -> tuple[Tensor, Tensor]:
    """The k nearest gallery items of each query, nearest first; exact, ties by gallery order.

    Args:
        query (Tensor): Query features, (M, C).
        gallery (Tensor): Gallery features, (N, C).
        k (int): Neighbours of each query. Defaults to 10.
        chunk_size (int): Queries compared with the gallery at a time. Defaults to 1024.
        distance (str): ``'cosine'`` or ``'euclidean'``. Defaults to ``'cosine'``.

    Returns:
        tuple[Tensor, Tensor]: Indices into the gallery, (M, k), and the similarities, (M, k): the
        cosine, or the negative squared distance with the longest feature scaled to length 1; equal
        features have 1 and 0 there.

    Raises:
        ValueError: As in :func:`recall_at_k`.
    """
    query, gallery = _check_pair(query, gallery, distance)
    _check_ks((k,), len(gallery))
    indices, values = [], []
    for _, similarity in _similarities(query, gallery, distance, chunk_size):
        value, index = similarity.sort(dim=1, descending=True, stable=True)
        values.append(value[:, :k])
        indices.append(index[:, :k])
    return torch.cat(indices), torch.cat(values)


def instance_recall(
    query: Tensor, gallery: Tensor, ks: Sequence[int] = (1, 5, 10), chunk_size: int = 1024
) -> dict[int, float]:
    """Instance-level retrieval recall between two modalities of the same samples.

    Row i of ``query`` (say, a video) and row i of ``gallery`` (its sound) belong together; a hit
    at k when the partner is among the k nearest. Ties and limits as in :func:`recall_at_k`.

    Args:
        query (Tensor): Embeddings of one modality, (N, C).
        gallery (Tensor): Embeddings of the other modality, (N, C).
        ks (Sequence[int]): Ranks to report. Defaults to (1, 5, 10).
        chunk_size (int): Queries compared with the gallery at a time. Defaults to 1024.

    Returns:
        dict[int, float]: Recall in [0, 1] for each k.

    Raises:
        ValueError: If the two do not pair up, or as in :func:`recall_at_k`.
    """
    if query.shape != gallery.shape:
        raise ValueError(
            f"expected embeddings of equal shape, row i with row i, got {tuple(query.shape)} and "
            f"{tuple(gallery.shape)}"
        )
    rows = torch.arange(len(query))
    return recall_at_k(query, gallery, rows, rows, ks=ks, chunk_size=chunk_size)


def chance_recall(
    query_labels: Tensor, gallery_labels: Tensor, ks: Sequence[int] = (1, 5, 10, 20, 50)
) -> dict[int, float]:
    """Expected :func:`recall_at_k` of a gallery in random order.

    Args:
        query_labels (Tensor): Integer class of each query, (M,).
        gallery_labels (Tensor): Integer class of each gallery item, (N,).
        ks (Sequence[int]): Ranks to report. Defaults to (1, 5, 10, 20, 50).

    Returns:
        dict[int, float]: Expected recall in [0, 1] for each k: 1 minus the probability that k
        items drawn without replacement are all of other classes.

    Raises:
        ValueError: If there are no queries, or a k is not within the gallery's size.
    """
    size = len(gallery_labels)
    if len(query_labels) == 0:
        raise ValueError("query_labels is empty: expected one or more queries")
    others = (query_labels[:, None] != gallery_labels[None, :]).sum(dim=1).double()
    result = {}
    for k in ks:
        if not 1 <= k <= size:
            raise ValueError(f"k = {k}: expected 1 <= k <= {size}, the gallery's size")
        drawn = torch.arange(k, dtype=torch.float64)
        all_others = ((others[:, None] - drawn) / (size - drawn)).clamp(min=0).prod(dim=1)
        result[k] = (1 - all_others).mean().item()
    return result
