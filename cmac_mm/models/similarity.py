"""Maps of similarity to the other modality, for encoders with projection heads."""

from collections.abc import Mapping

from torch import Tensor, nn

from .necks.pyramid_correlation import correlation_response

_OTHER = {"visual": "audio", "audio": "visual"}


def similarity_maps(
    maps: Mapping[str, Tensor],
    projections: Mapping[str, nn.Module],
    embeddings: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Compute the similarity of each position of a feature map to the other modality's embedding.

    The projection head, made for pooled features, is applied at each position by itself; the cosine
    with the embedding is mapped to (1 + cos) / 2, as in CMAC's guided attention. Batch norm in a
    head must be in eval mode.

    Args:
        maps (Mapping[str, Tensor]): Last feature maps ``visual`` `(B, C, T, H, W)` and ``audio``
            `(B, C, F, T)`.
        projections (Mapping[str, nn.Module]): The heads, `(N, C)` to `(N, D)`.
        embeddings (Mapping[str, Tensor]): Embeddings of the whole clips `(B, D)`.

    Returns:
        dict[str, Tensor]: Maps `(B, T, H, W)` and `(B, F, T)` of values from 0 to 1, in the
        embeddings' precision; none where only one modality is there.
    """
    found = {}
    for name, x in maps.items():
        if _OTHER[name] not in embeddings:
            continue
        rows = x.movedim(1, -1)
        projected = projections[name](rows.reshape(-1, x.shape[1]))
        projected = projected.unflatten(0, rows.shape[:-1]).movedim(-1, 1)
        guide = embeddings[_OTHER[name]]
        found[name] = correlation_response(guide, projected.to(guide.dtype))
    return found
