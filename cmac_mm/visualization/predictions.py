"""Pictures of test videos with predicted classes."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .sheet import save_figure

_RIGHT, _WRONG = "#1a9850", "#d73027"
_CELL = 1.5  # inches


def draw_prediction(
    figure: Figure, frames: np.ndarray, title: str, guesses: Sequence[str], right: bool | None
) -> None:
    """Draw frames of a clip in a row, and the predictions below.

    Args:
        figure (Figure): Where; its size is set.
        frames (np.ndarray): Some frames, (N, H, W, 3) uint8.
        title (str): The video and its class.
        guesses (Sequence[str]): Classes with their scores, the best first.
        right (bool | None): Whether the first is the video's class; None if that is unknown.
    """
    colour = {None: "black", True: _RIGHT, False: _WRONG}[right]
    with matplotlib.rc_context({"font.size": 9, "font.family": "DejaVu Sans"}):
        figure.set_layout_engine("constrained")
        figure.set_size_inches(_CELL * len(frames), _CELL * frames.shape[1] / frames.shape[2] + 0.6)
        row = figure.subplots(1, len(frames), squeeze=False)[0]
        for ax, frame in zip(row, frames, strict=True):
            ax.imshow(frame)
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(edgecolor=colour, linewidth=2)
        # Names may hold dollar signs, which would begin a formula.
        figure.suptitle(title, fontsize=9, parse_math=False)
        figure.supxlabel(",  ".join(guesses), fontsize=9, color=colour, parse_math=False)


def prediction_picture(
    frames: np.ndarray, title: str, guesses: Sequence[str], right: bool | None, path: str | Path
) -> None:
    """Save what :func:`draw_prediction` draws.

    Args:
        frames (np.ndarray): Some frames, (N, H, W, 3) uint8.
        title (str): The video and its class.
        guesses (Sequence[str]): Classes with their scores, the best first.
        right (bool | None): Whether the first is the video's class; None if that is unknown.
        path (str | Path): Picture file to write; the ending tells the format.
    """
    figure = Figure(facecolor="white")
    FigureCanvasAgg(figure)
    draw_prediction(figure, frames, title, guesses, right)
    save_figure(figure, Path(path))
