"""Table of results beside the papers' figures."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

_NO_CHECKPOINT = "random weights"
_CHANCE = "chance"
# What a full evaluation consists of: (parts, name of a part).
_PARTS = {
    **{
        f"{name}-{kind}": (3, "split")
        for name in ("ucf101", "hmdb51")
        for kind in ("finetune", "frozen")
    },
    **{
        f"{name}-{kind}": (5, "fold")
        for name in ("esc50", "esc10")
        for kind in ("linear", "svm", "finetune", "probes")
    },
}
_HEADLINES = (
    *("top1", "R@1", "best_video_top1"),
    *("visual retrieval R@1", "audio retrieval R@1", "guided_cIoU", "mAP@0.5"),
)


class PaperResult(NamedTuple):
    """Figure of a paper, not measured here.

    Attributes:
        benchmark (str): As :func:`save_result` has it.
        protocol (str): How the figure was obtained.
        metric (str): Its name.
        percent (float): Its value, in percent.
        method (str): What was evaluated.
        pretraining (str): The data that it was pretrained on.
        split (int | None): The split or fold that it is for; None: the mean of all.
        source (str): Paper and table.
    """

    benchmark: str
    protocol: str
    metric: str
    percent: float
    method: str
    pretraining: str
    split: int | None
    source: str


@cache
def paper_results() -> tuple[PaperResult, ...]:
    """Read the papers' figures from `paper_results.csv`."""
    with Path(__file__).with_name("paper_results.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            PaperResult(
                benchmark=row["benchmark"],
                protocol=row["protocol"],
                metric=row["metric"],
                percent=float(row["percent"]),
                method=row["method"],
                pretraining=row["pretraining"],
                split=int(row["split"]) if row["split"] else None,
                source=row["source"],
            )
            for row in csv.DictReader(file)
        )


class RowKey(NamedTuple):
    """Key of a row: metric, benchmark and protocol, which make figures comparable."""

    benchmark: str
    protocol: str
    metric: str

    @property
    def is_headline(self) -> bool:
        """Whether this is the main figure of the benchmark."""
        return self.metric in _HEADLINES


@dataclass(frozen=True)
class Cell:
    """Figure of a checkpoint: mean, deviation and number of runs.

    Attributes:
        percent (float): Mean over splits, then over seeds, in percent.
        spread (float | None): Standard deviation over the seeds; None with one seed.
        num_seeds (int): Number of seeds.
        coverage (str): What it covers, such as ``'1 of 3 splits'``; empty if it is everything.
    """

    percent: float
    spread: float | None
    num_seeds: int
    coverage: str

    def __str__(self) -> str:
        """Format the figure as the table prints it."""
        text = f"{self.percent:.1f}"
        if self.spread is not None:
            text += f" ± {self.spread:.1f}, {self.num_seeds} seeds"
        return f"{text} ({self.coverage})" if self.coverage else text


@dataclass
class Report:
    """Table of results.

    Attributes:
        checkpoints (dict[str, str]): Columns: name, and path of the checkpoint or checkpoints; for
            chance and random weights the name again.
        rows (dict[RowKey, dict[str, Cell]]): By row, by short name; what was not evaluated is
            missing.
        notes (list[str]): What one must know to read it.
    """

    checkpoints: dict[str, str]
    rows: dict[RowKey, dict[str, Cell]]
    notes: list[str] = field(default_factory=list)


def build_report(results: Sequence[dict]) -> Report:
    """Sort results into rows and columns.

    A row is a benchmark, a protocol and a metric; results of different protocols never meet. A
    result without ``protocol`` has that of its config's name. A column is a checkpoint, or all
    results with the same ``column``: a method, of which there is a checkpoint a seed. In a cell,
    splits or folds are averaged, then seeds: the first runs of all splits make the first seed's
    figure, and so on. Of several results for the same checkpoint, split and seed the newest counts.

    A result's ``chance`` has a column of its own. Its ``untrained`` goes to that of random weights;
    of several for the same seed the first counts.

    Args:
        results (Sequence[dict]): As :func:`load_results` gives them, oldest first.

    Returns:
        Report: The table, with a row for each figure of the papers too.

    Raises:
        ValueError: If there are no results, or a ``column`` has a seed twice, from two checkpoints.
    """
    if not results:
        raise ValueError("no results: expected files that an evaluation wrote")
    columns, report = _columns(results)

    # figures[row][column][split][seed], and the checkpoints they are of.
    figures: dict = {}
    sources: dict = {}
    for column, result in zip(columns, results, strict=True):
        protocol = result.get("protocol") or Path(str(result.get("config", "unknown"))).stem
        for metric, split, seed, value in _figures(result):
            row = RowKey(result["benchmark"], protocol, metric)
            splits = figures.setdefault(row, {}).setdefault(column, {})
            splits.setdefault(split, {})[seed] = 100 * value
            source = sources.setdefault((row, column, split, seed), result["checkpoint"])
            if source != result["checkpoint"]:
                raise ValueError(
                    f"{column} has seed {seed} of {row.benchmark} twice, from {source} and from "
                    f"{result['checkpoint']}"
                )
        seed = result.get("seed")
        for name, part, seed_of_it in (
            (_CHANCE, "chance", None),
            (_NO_CHECKPOINT, "untrained", seed),
        ):
            for metric, value in result.get(part, {}).items():
                row = RowKey(result["benchmark"], protocol, metric)
                splits = figures.setdefault(row, {}).setdefault(name, {})
                splits.setdefault(result.get("split"), {}).setdefault(seed_of_it, 100 * value)

    published = [RowKey(*figure[:3]) for figure in paper_results()]
    for row in _in_order([*published, *figures], published):
        report.rows[row] = {
            column: _cell(row, column, splits, report.notes)
            for column, splits in figures.get(row, {}).items()
        }
    return report


def _columns(results: Sequence[dict]) -> tuple[list[str], Report]:
    """The column of each result, and a report that has no rows yet."""
    paths = [_path(result) for result in results]
    named = [result.get("column") for result in results]
    alone = [p for p, name in zip(paths, named, strict=True) if name is None]
    short = _short_names([path for path in alone if path != _NO_CHECKPOINT])
    short[_NO_CHECKPOINT] = _NO_CHECKPOINT
    report = Report({}, {})
    if any("chance" in result for result in results):
        report.checkpoints[_CHANCE] = _CHANCE
    if _NO_CHECKPOINT in alone or any("untrained" in result for result in results):
        report.checkpoints[_NO_CHECKPOINT] = _NO_CHECKPOINT
    for column in dict.fromkeys(name for name in named if name is not None):
        of_it = {path for path, name in zip(paths, named, strict=True) if name == column}
        report.checkpoints[column] = ", ".join(sorted(of_it))
    report.checkpoints.update({short[path]: path for path in sorted(set(alone))})
    columns = [
        short[path] if name is None else name for path, name in zip(paths, named, strict=True)
    ]
    return columns, report


def _path(result: dict) -> str:
    checkpoint = result["checkpoint"]
    return _NO_CHECKPOINT if checkpoint is None else os.path.normpath(checkpoint)


def _short_names(paths: Sequence[str]) -> dict[str, str]:
    """The ends of the paths, as long as it takes to tell them apart, two parts at least."""
    unique = sorted(set(paths))
    parts = {path: Path(path).with_suffix("").parts for path in unique}
    length = 2
    while True:
        names = {path: "/".join(parts[path][-length:]) for path in unique}
        if len(set(names.values())) == len(unique):
            return names
        if length >= max(map(len, parts.values())):
            return {path: path for path in unique}  # they differ in the suffix alone
        length += 1


def _figures(result: dict) -> Iterator[tuple[str, int | None, int | None, float]]:
    """Metric, split or fold, seed and value of each figure; split None where none is named."""
    seed = result.get("seed")
    for name in ("split", "fold"):
        entries = result.get(f"{name}s")
        if isinstance(entries, list) and all(isinstance(e, dict) and name in e for e in entries):
            for metric, value in result["metrics"].items():
                if all(metric in entry for entry in entries):
                    for entry in entries:
                        yield metric, int(entry[name]), entry.get("seed", seed), entry[metric]
                else:
                    yield metric, None, seed, value
            return
    for metric, value in result["metrics"].items():
        yield metric, result.get("split", result.get("fold")), seed, value


def _cell(row: RowKey, column: str, splits: dict, notes: list[str]) -> Cell:
    """Average over splits and seeds."""
    if len(splits) > 1:
        splits.pop(None, None)  # their mean
    for seeds in splits.values():
        # The same run once more, in a summary that does not name the seed.
        if None in seeds and seeds[None] in [seeds[seed] for seed in seeds if seed is not None]:
            del seeds[None]
    runs = list(zip(*(seeds.values() for seeds in splits.values()), strict=False))
    if row.is_headline and any(len(seeds) > len(runs) for seeds in splits.values()):
        notes.append(
            f"{row.benchmark}, {row.protocol}, {column}: some splits have more seeds than others; "
            f"the first {len(runs)} of each count"
        )
    means = [mean(run) for run in runs]
    number, name = _PARTS.get(row.benchmark, (1, "split"))
    coverage = ""
    if number > 1 and None in splits:
        coverage = f"{name}s not said"
    elif len(splits) < number:
        coverage = f"{len(splits)} of {number} {name}s"
    elif number == 1 and not splits.keys() <= {None, 1}:
        coverage = f"{name} {', '.join(map(str, sorted(splits)))}"
    spread = stdev(means) if len(means) > 1 else None
    return Cell(mean(means), spread, len(means), coverage)


def _in_order(rows: Sequence[RowKey], published: Sequence[RowKey]) -> list[RowKey]:
    """Rows grouped by benchmark and protocol, the papers' order first."""
    benchmarks = list(dict.fromkeys(row.benchmark for row in [*published, *rows]))
    protocols = list(dict.fromkeys(row[:2] for row in [*published, *rows]))
    metrics = list(dict.fromkeys(row.metric for row in rows))
    return sorted(
        set(rows),
        key=lambda row: (
            benchmarks.index(row.benchmark),
            protocols.index(row[:2]),
            metrics.index(row.metric),
        ),
    )


def format_markdown(report: Report) -> str:
    """Format a report as Markdown.

    Args:
        report (Report): The report.

    Returns:
        str: One table, figures in percent, '-' for what was not evaluated, and the notes.
    """
    columns = list(report.checkpoints)
    head = ["benchmark", "protocol", "metric", *columns]
    lines = [
        "# Results",
        "",
        "In percent. The two columns on the right are **the papers' figures**, not measured here.",
        "",
        _line([*head, "papers, Kinetics-400", "papers, other pretraining"]),
        _line(["---"] * 3 + ["---:"] * len(columns) + ["---"] * 2),
    ]
    sources = list(dict.fromkeys(figure.source for figure in paper_results()))
    for row, cells in report.rows.items():
        figures = [figure for figure in paper_results() if figure[:3] == row]
        ours = [str(cells.get(column, "-")) for column in columns]
        kinetics = [_quote(f, sources) for f in figures if f.pretraining == "Kinetics-400"]
        others = [_quote(f, sources) for f in figures if f.pretraining != "Kinetics-400"]
        lines.append(_line([*row, *ours, "; ".join(kinetics), "; ".join(others)]))
    lines += ["", "Columns:", ""]
    lines += [
        f"- {name}" if path == name else f"- {name}: `{path}`"
        for name, path in report.checkpoints.items()
    ]
    lines += ["", "Sources:", ""]
    lines += [f"{number}. {source}" for number, source in enumerate(sources, start=1)]
    if report.notes:
        lines += ["", "Notes:", "", *(f"- {note}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def _quote(figure: PaperResult, sources: Sequence[str]) -> str:
    method = figure.method
    if figure.pretraining not in ("Kinetics-400", "nothing"):
        method += f" ({figure.pretraining})"
    split = "" if figure.split is None else f", {_PARTS[figure.benchmark][1]} {figure.split}"
    return f"{method} {figure.percent:g} [{sources.index(figure.source) + 1}{split}]"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
