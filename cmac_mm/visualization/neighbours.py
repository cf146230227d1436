"""Pictures of videos and their nearest neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .sheet import save_figure

_RIGHT, _WRONG = "#1a9850", "#d73027"
_CELL = 1.7  # inches


@dataclass
class NeighbourRow:
    """Query and its nearest neighbours.

    Attributes:
        frame (np.ndarray): Picture of the query, (H, W, 3) uint8.
        title (str): Its class.
        neighbours (Sequence[tuple[np.ndarray, str, bool]]): Nearest first: picture (H, W, 3)
            uint8, class, and whether that is the query's class.
        similarities (Sequence[float]): Of the neighbours to the query.
    """

    frame: np.ndarray
    title: str
    neighbours: Sequence[tuple[np.ndarray, str, bool]]
    similarities: Sequence[float]


def neighbour_sheet(rows: Sequence[NeighbourRow], path: str | Path) -> None:
    """Draw queries at the left, their neighbours beside them, and save the picture.

    Neighbours have a green frame where their class is the query's and a red one with a cross
    where it is not. Below each stands its similarity.

    Args:
        rows (Sequence[NeighbourRow]): The rows, top to bottom.
        path (str | Path): Picture file to write; the ending tells the format.

    Raises:
        ValueError: If there is no row, or the rows differ in their number of neighbours.
    """
    counts = {len(row.neighbours) for row in rows}
    if len(counts) != 1:
        raise ValueError(f"rows: expected one or more, of equal length, got lengths {counts}")
    columns = counts.pop() + 1
    with matplotlib.rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        figure = Figure(
            figsize=(_CELL * columns, _CELL * 0.95 * len(rows) + 0.4),
            layout="constrained",
            facecolor="white",
        )
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for row, axes in zip(rows, grid, strict=True):
            draw_video(axes[0], row.frame, row.title, None)
            found = zip(axes[1:], row.neighbours, row.similarities, strict=True)
            for ax, (frame, title, right), similarity in found:
                draw_video(ax, frame, title, right)
                ax.set_xlabel(f"{similarity:.3f}", fontsize=8, color="dimgrey", labelpad=2)
        grid[0, 0].annotate(
            "query", (0, 1), (0, 20), "axes fraction", "offset points", fontweight="bold"
        )
        if columns > 1:
            grid[0, 1].annotate(
                "nearest first",
                (0, 1),
                (0, 20),
                "axes fraction",
                "offset points",
                fontweight="bold",
            )
        save_figure(figure, Path(path))


def draw_video(ax: Axes, frame: np.ndarray, title: str, right: bool | None) -> None:
    """Draw one video.

    Args:
        ax (Axes): Where.
        frame (np.ndarray): Picture, (H, W, 3) uint8.
        title (str): Text above it.
        right (bool | None): Whether it is what was looked for; None for a query, or if unknown.
    """
    ax.imshow(frame)
    ax.set(xticks=[], yticks=[])
    colour = {None: "black", True: _RIGHT, False: _WRONG}[right]
    mark = {None: "", True: "", False: "\N{MULTIPLICATION SIGN} "}[right]
    for spine in ax.spines.values():
        spine.set(edgecolor=colour, linewidth=1 if right is None else 3)
    ax.set_title(f"{mark}{title}", fontsize=8.5, color=colour, pad=4)
