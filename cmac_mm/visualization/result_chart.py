"""Chart of a report."""

from pathlib import Path

from matplotlib.figure import Figure

from ..evaluation.report import PaperResult, Report, RowKey, paper_results
from .sheet import save_figure

_PAPER_MARKS = "DsPX^vhd*<>p"


def draw_report(report: Report, path: str | Path) -> None:
    """Draw the headline figure of each benchmark that was run: ours as dots, papers' as marks.

    Rows and protocols are those of the table; a spread over seeds is drawn as a bar. Hollow marks
    are the papers' figures, of the same benchmark and protocol alone.

    Args:
        report (evaluation.Report): What to draw.
        path (str | Path): Image file to write.

    Raises:
        ValueError: If nothing in the report has a headline figure.
    """
    rows = [row for row, cells in report.rows.items() if cells and row.is_headline]
    if not rows:
        raise ValueError(
            "nothing to draw: no result has a figure that a benchmark is known by, such as top1"
        )
    figure = Figure(figsize=(9, 1.6 + 0.5 * len(rows)), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for number, column in enumerate(report.checkpoints):
        ours = [
            (y, report.rows[row][column])
            for y, row in enumerate(rows)
            if column in report.rows[row]
        ]
        if not ours:
            continue
        axes.errorbar(
            [cell.percent for _, cell in ours],
            [y for y, _ in ours],
            xerr=[cell.spread or 0 for _, cell in ours],
            fmt="o",
            color=f"C{number % 10}",
            markersize=8,
            capsize=3,
            label=column,
            zorder=3,
        )
        for y, cell in ours:
            axes.annotate(
                f"{cell.percent:.1f}{'*' if cell.coverage else ''}",
                (cell.percent, y),
                xytext=(0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=8,
                color=f"C{number % 10}",
            )
    figures = [
        (rows.index(key), figure)
        for figure in paper_results()
        if (key := RowKey(*figure[:3])) in rows
    ]
    labels = [(y, figure.percent, _label(figure)) for y, figure in figures]
    for number, label in enumerate(dict.fromkeys(label for *_, label in labels)):
        axes.scatter(
            [percent for _, percent, other in labels if other == label],
            [y for y, _, other in labels if other == label],
            marker=_PAPER_MARKS[number % len(_PAPER_MARKS)],
            s=45,
            facecolors="none",
            edgecolors=["0.25", "0.6"][number // len(_PAPER_MARKS) % 2],
            label=label,
        )
    axes.set_yticks(
        range(len(rows)), [f"{row.benchmark}, {row.metric}\n{row.protocol}" for row in rows]
    )
    axes.set_ylim(len(rows) - 0.5, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xlabel("top-1, for retrieval R@1, %   (* part of the splits or folds)")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    save_figure(figure, Path(path))


def _label(figure: PaperResult) -> str:
    data = "" if figure.pretraining == "nothing" else f" on {figure.pretraining}"
    split = "" if figure.split is None else f", split {figure.split}"
    return f"{figure.method}{data} (paper{split})"
