"""HTML page of search results, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from ..features import Hit
from ..utils import write_text
from .clip_media import clip_figure, page_head, read_clip


def write_search_page(
    path: str | Path,
    title: str,
    query: str,
    hits: Sequence[Hit],
    note: str = "",
) -> None:
    """Write the page: query and results, with pictures, spectrogram and playable audio.

    Args:
        path (str | Path): The HTML file.
        title (str): Heading.
        query (str): File that was searched with.
        hits (Sequence[Hit]): What was found, best first.
        note (str): What must be said of the model. Defaults to '': nothing.
    """
    parts = page_head(title)
    if note:
        parts.append(f'<p class="note">{escape(note)}</p>')
    figure = clip_figure(query, read_clip(query), "what was searched with")
    parts.append(f'<h2>Query</h2><div class="clips">{figure}</div>')
    parts.append(f'<h2>Found</h2><p class="note">{len(hits)} files</p>')
    parts.append(f"{hit_figures(hits)}</body></html>\n")
    write_text(path, "\n".join(parts))


def hit_figures(hits: Sequence[Hit]) -> str:
    """What was found, as HTML that :data:`CLIP_STYLE` styles.

    Args:
        hits (Sequence[Hit]): What was found, best first.
    """
    figures = []
    for rank, hit in enumerate(hits, start=1):
        note = f"#{rank} · similarity {hit.similarity:.3f} · at {hit.start:.1f} s"
        figures.append(clip_figure(hit.path, read_clip(hit.path, hit.start), note))
    return f'<div class="clips">{"".join(figures)}</div>'
