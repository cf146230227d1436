"""Line charts of figures over a setting."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from .sheet import save_figure

Curve = Mapping[float, float]


def draw_curves(curves: Mapping[str, Curve], label: str, path: str | Path) -> None:
    """Draw one panel a figure, each with its own axis.

    Args:
        curves (Mapping[str, Curve]): By name, percent over the setting's value.
        label (str): Name of the setting.
        path (str | Path): Image file to write.

    Raises:
        ValueError: If there is no curve.
    """
    if not curves:
        raise ValueError("nothing to draw: expected a curve")
    size = (6, 0.6 + 1.9 * len(curves))
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    panels = figure.subplots(len(curves), sharex=True, squeeze=False)[:, 0]
    for axes, (name, curve) in zip(panels, curves.items(), strict=True):
        values = sorted(curve)
        axes.plot(values, [curve[value] for value in values], "o-", markersize=5)
        axes.set_title(name, fontsize=9, loc="left")
        axes.set_ylabel("%")
        axes.grid(color="0.9")
    panels[-1].set_xlabel(label)
    save_figure(figure, Path(path))
