"""Pictures of mined positives and rejected negatives."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .neighbours import draw_video
from .sheet import save_figure

_CELL = 1.75  # inches


@dataclass
class AgreementCell:
    """Video beside a reference.

    Attributes:
        frame (np.ndarray): Picture, (H, W, 3) uint8.
        title (str): Its class or name.
        visual (float): Similarity of the pictures to the reference's.
        audio (float): Similarity of the sounds.
        right (bool | None): Whether its class is the reference's. Defaults to None: unknown.
    """

    frame: np.ndarray
    title: str
    visual: float
    audio: float
    right: bool | None = None


@dataclass
class AgreementRow:
    """Reference, its positives and its rejected negatives.

    Attributes:
        frame (np.ndarray): Picture of the reference, (H, W, 3) uint8.
        title (str): Its class or name.
        positives (Sequence[AgreementCell]): Best first.
        negatives (Sequence[AgreementCell]): Look alike, but are no positives.
    """

    frame: np.ndarray
    title: str
    positives: Sequence[AgreementCell]
    negatives: Sequence[AgreementCell]


def agreement_sheet(rows: Sequence[AgreementRow], path: str | Path) -> None:
    """Draw references, positives and rejected negatives, like AVID+CMA's Figure 5, and save it.

    Below each video stand its similarities to the reference, picture / sound. Where classes are
    known, videos of the reference's class have a green frame, others a red one with a cross.

    Args:
        rows (Sequence[AgreementRow]): The rows, top to bottom.
        path (str | Path): Picture file to write; the ending tells the format.

    Raises:
        ValueError: If there is no row.
    """
    if not rows:
        raise ValueError("no rows: expected at least one reference for the sheet")
    num_positives = max(len(row.positives) for row in rows)
    columns = 1 + num_positives + max(len(row.negatives) for row in rows)
    heads = {
        0: "reference",
        1: "positives",
        1 + num_positives: "rejected: look alike, sound differs",
    }
    with matplotlib.rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        figure = Figure(
            figsize=(_CELL * columns, _CELL * 0.95 * len(rows) + 0.4),
            layout="constrained",
            facecolor="white",
        )
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for row, axes in zip(rows, grid, strict=True):
            for ax in axes:
                ax.set_visible(False)  # until something is drawn
            axes[0].set_visible(True)
            draw_video(axes[0], row.frame, row.title, None)
            axes[0].set_xlabel("picture / sound", fontsize=8, color="dimgrey", labelpad=2)
            for first, cells in ((1, row.positives), (1 + num_positives, row.negatives)):
                for ax, cell in zip(axes[first:], cells, strict=False):
                    ax.set_visible(True)
                    draw_video(ax, cell.frame, cell.title, cell.right)
                    ax.set_xlabel(
                        f"{cell.visual:.2f} / {cell.audio:.2f}",
                        fontsize=8,
                        color="dimgrey",
                        labelpad=2,
                    )
        for column, text in heads.items():
            if column < columns:
                head = grid[0, column].annotate(
                    text, (0, 1), (0, 20), "axes fraction", "offset points", fontweight="bold"
                )
                # Wider than its column; only its height counts.
                head.set_in_layout(column == 0)
        save_figure(figure, Path(path))
