"""Clusters of videos as one HTML page that needs no network: purity, nearest clips, their sound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from ..utils import write_text
from .clip_media import ClipMedia, clip_figure, page_head


@dataclass
class PageClip:
    """Clip of a cluster.

    Attributes:
        filename (str): Its file.
        distance (float): To the cluster's centroid.
        class_name (str | None): Its class; None: it has no label.
    """

    filename: str
    distance: float
    class_name: str | None = None


@dataclass
class PageCluster:
    """Cluster of a source.

    Attributes:
        number (int): Its number.
        size (int): Videos in it.
        purity (float | None): Share of its most frequent class; None: there are no labels.
        concepts (Sequence[tuple[str, float]]): Its most frequent classes with their shares.
        clips (Sequence[PageClip]): Those to show, nearest to the centroid first; empty: the
            cluster stands in the table alone.
    """

    number: int
    size: int
    purity: float | None = None
    concepts: Sequence[tuple[str, float]] = ()
    clips: Sequence[PageClip] = field(default_factory=list)


def nearest_rows(labels: np.ndarray, distances: np.ndarray, cluster: int, count: int) -> np.ndarray:
    """Find the rows of a cluster nearest to its centroid.

    Args:
        labels (np.ndarray): Cluster of each row, (N,).
        distances (np.ndarray): Distance of each row to its cluster's centroid, (N,).
        cluster (int): The cluster.
        count (int): How many at most.

    Returns:
        np.ndarray: Row numbers, nearest first.
    """
    rows = np.flatnonzero(labels == cluster)
    return rows[np.argsort(distances[rows], kind="stable")[:count]]


def choose_clusters(num_clusters: int, count: int) -> list[int]:
    """Choose the clusters to show: all, or the best and the last ones.

    Args:
        num_clusters (int): Clusters in the ranking.
        count (int): How many to show; the top gets one more if it is odd.

    Returns:
        list[int]: Places from 0, rising.
    """
    if num_clusters <= count:
        return list(range(num_clusters))
    top = -(-count // 2)
    return [*range(top), *range(num_clusters - (count - top), num_clusters)]


def write_cluster_page(
    path: str | Path,
    title: str,
    sources: Mapping[str, Sequence[PageCluster]],
    media: Mapping[str, ClipMedia],
) -> None:
    """Write the page.

    Of each source: a table of all its clusters, as Table 6 of "Self-Supervised Learning by
    Cross-Modal Audio-Video Clustering", Alwassel et al., 2020, and the clips that are nearest to
    the centroids, as its figure 2. Sound stands open in sources that are made of it, and is folded
    away in the others. Pictures and sound are in the page; it loads nothing, and is not allowed to.

    Args:
        path (str | Path): The HTML file.
        title (str): Heading.
        sources (Mapping[str, Sequence[PageCluster]]): Clusters of each source, in their ranking.
        media (Mapping[str, ClipMedia]): By file, of all clips that are shown.

    Raises:
        ValueError: If there is no source.
    """
    if not sources:
        raise ValueError("no sources: expected at least one")
    bad = [name for name, clip in media.items() if not clip.readable]
    parts = page_head(title)
    if len(sources) > 1:
        links = (f'<a href="#{escape(name)}">{escape(name)}</a>' for name in sources)
        parts.append(f"<p>{' · '.join(links)}</p>")
    if bad:
        parts.append(
            f'<p class="bad" id="unreadable">{len(bad)} of {len(media)} files cannot be read; they '
            "are marked below.</p>"
        )
    for name, clusters in sources.items():
        parts += _source(name, clusters, media)
    parts.append("</body></html>\n")
    write_text(path, "\n".join(parts))


def _source(
    name: str, clusters: Sequence[PageCluster], media: Mapping[str, ClipMedia]
) -> Iterable[str]:
    """Heading, table and clusters of a source."""
    labelled = any(cluster.purity is not None for cluster in clusters)
    by = "purity" if labelled else "size, as the list has no labels"
    shown = sum(bool(cluster.clips) for cluster in clusters)
    total = sum(cluster.size for cluster in clusters)
    yield f'<section><h2 id="{escape(name)}">{escape(name)}: {len(clusters)} clusters</h2>'
    note = f"{total} videos, ranked by {by}."
    if shown < len(clusters):
        top, bottom = -(-shown // 2), shown // 2
        note += f" Clips of the top {top} and the bottom {bottom} of {len(clusters)} are shown."
    yield f'<p class="note">{note}</p><div class="tables"><table><thead><tr>'
    yield '<th class="n">#</th><th class="n">cluster</th><th class="n">videos</th>'
    yield '<th class="n">purity</th><th>concepts</th>' if labelled else ""
    yield "</tr></thead><tbody>"
    for rank, cluster in enumerate(clusters, start=1):
        number = str(cluster.number)
        if cluster.clips:
            number = f'<a href="#{escape(name)}-{number}">{number}</a>'
        cells = f'<td class="n">{rank}</td><td class="n">{number}</td>'
        cells += f'<td class="n">{cluster.size}</td>'
        if labelled:
            cells += f'<td class="n">{_number(cluster.purity)}</td><td>{_concepts(cluster)}</td>'
        yield f"<tr>{cells}</tr>"
    yield "</tbody></table></div>"
    for rank, cluster in enumerate(clusters, start=1):
        if not cluster.clips:
            continue
        yield f'<h3 id="{escape(name)}-{cluster.number}">#{rank} · cluster {cluster.number}</h3>'
        purity = "" if cluster.purity is None else f" · purity {_number(cluster.purity)}"
        concepts = f" · {_concepts(cluster)}" if cluster.concepts else ""
        yield f'<p class="note">{cluster.size} videos{purity}{concepts}</p><div class="clips">'
        open_sound = not name.startswith("visual")
        for clip in cluster.clips:
            yield clip_figure(
                clip.filename,
                media[clip.filename],
                f"distance {clip.distance:.4g}",
                clip.class_name,
                open_sound,
            )
        yield "</div>"
    yield "</section>"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _concepts(cluster: PageCluster) -> str:
    return ", ".join(f"{escape(name)} ({share:.2f})" for name, share in cluster.concepts)
