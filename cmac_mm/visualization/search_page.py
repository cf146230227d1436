"""What a search has found, as one HTML page that needs no network."""

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
    """Write the page: the query, and what was found with pictures, spectrogram and playable sound.

    Args:
        path (str | Path): The HTML file.
        title (str): Heading.
        query (str): File that was searched with.
        hits (Sequence[Hit]): What was found, best first.
        note (str): What must be said of the model. Defaults to '': nothing.
    """
    places = [(query, None), *((hit.path, hit.start) for hit in hits)]
    media = {place: read_clip(*place) for place in places}
    parts = page_head(title)
    if note:
        parts.append(f'<p class="note">{escape(note)}</p>')
    parts.append('<h2>Query</h2><div class="clips">')
    parts.append(clip_figure(query, media[places[0]], "what was searched with"))
    parts.append(f'</div><h2>Found</h2><p class="note">{escape(str(len(hits)))} files</p>')
    parts.append('<div class="clips">')
    for rank, (hit, place) in enumerate(zip(hits, places[1:], strict=True), start=1):
        note = f"#{rank} · similarity {hit.similarity:.3f} · at {hit.start:.1f} s"
        parts.append(clip_figure(hit.path, media[place], note))
    parts.append("</div></body></html>\n")
    write_text(path, "\n".join(parts))
