"""Picture of a confusion matrix."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .sheet import save_figure

_CELL = 0.24  # inches


def confusion_picture(
    confusion: np.ndarray, classes: Sequence[str], title: str, path: str | Path
) -> None:
    """Draw a confusion matrix and save the picture.

    Colour is the share of a row; the number in a cell, where there are any, the count. A class
    without test samples has a grey row.

    Args:
        confusion (np.ndarray): Samples of class i (row) taken for class j (column), (K, K).
        classes (Sequence[str]): Names of the K classes.
        title (str): Text above.
        path (str | Path): Picture file to write; the ending tells the format.

    Raises:
        ValueError: If the matrix is not square, or the names are not as many.
    """
    count = len(classes)
    if confusion.shape != (count, count):
        raise ValueError(
            f"confusion: expected ({count}, {count}) for {count} classes, got {confusion.shape}"
        )
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.ma.masked_invalid(np.where(totals, confusion / np.maximum(totals, 1), np.nan))
    with matplotlib.rc_context({"font.size": 8, "font.family": "DejaVu Sans"}):
        side = max(3.0, _CELL * count) + 2.0
        figure = Figure(figsize=(side + 0.6, side), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        ax = figure.subplots()
        colours = matplotlib.colormaps["Blues"].with_extremes(bad="lightgrey")
        image = ax.imshow(shares, cmap=colours, vmin=0, vmax=1)
        places = np.arange(count)
        ax.set_xticks(places, classes, rotation=90)
        ax.set_yticks(places, classes)
        ax.set(xlabel="predicted", ylabel="true")
        ax.set_title(title, loc="left", fontsize=10)
        for i, j in np.argwhere(confusion):
            colour = "white" if shares[i, j] > 0.6 else "black"
            ax.text(j, i, str(confusion[i, j]), color=colour, ha="center", va="center", fontsize=6)
        figure.colorbar(image, ax=ax, shrink=0.6, label="share of the true class")
        save_figure(figure, Path(path))
