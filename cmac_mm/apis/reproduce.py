"""Tables of the papers and of released encoders: the runs of each row, and their results."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import yaml

from ..evaluation import paper_results
from ..utils import project_folder, read_json, write_text
from ..visualization import draw_curves
from ..zoo.entries import find_entry
from .evaluate import KINDS, Options, evaluation_kind
from .processes import tool_command
from .steps import Step

SCRATCH = "scratch"
"""The row that is not pretrained."""
_SOURCE = "Min et al. 2021 (CMAC), table {}"


_FOLDERS = {"cmac": "cmac", "avid": "avid", "xdc": "deep_clustering"}


@cache
def read_tables(paper: str = "cmac") -> dict:
    """Read a paper's ``tables.yml``; CMAC's comes with ``configs/zoo/tables.yml``.

    Args:
        paper (str): ``'cmac'``, ``'avid'`` or ``'xdc'``. Defaults to ``'cmac'``.

    Raises:
        ValueError: If there is no such paper.
    """
    if paper not in _FOLDERS:
        raise ValueError(f"no paper {paper!r}: expected one of {', '.join(_FOLDERS)}")
    names = [_FOLDERS[paper], *(["zoo"] if paper == "cmac" else [])]
    known, *others = (
        yaml.safe_load((project_folder("configs") / name / "tables.yml").read_text("utf-8"))
        for name in names
    )
    for other in others:
        for part, entries in other.items():
            known[part].update(entries)
    return known


def describe_tables(paper: str = "cmac") -> str:
    """Describe all tables of a paper with their rows."""
    known = read_tables(paper)
    lines = []
    for name, table in known["tables"].items():
        lines.append(f"{name}: {table['title']}")
        for row, label in table["rows"].items():
            config = "random weights" if row == SCRATCH else "released"
            if row in known["trainings"]:
                training = known["trainings"][row]
                config = training.get("released") or training["paper"]
            lines.append(f"    {row:22} {label:24} {config}")
    return "\n".join(lines)


class Reproduction:
    """A table or figure of a paper or of released encoders, or some of its rows.

    Args:
        table (str): ``'table1'`` and so on, as the paper's ``tables.yml`` names them; or
            ``'avid'``, ``'gdt'``, ``'selavi'`` or ``'xdc'``, whose rows are released models.
        rows (Sequence[str]): Names of rows. Defaults to none: all.
        scale (str): ``'paper'``, or ``'demo'`` for the built-in set. Defaults to ``'paper'``.
        gpus (int, optional): GPUs, or processes on CPU. Defaults to None: those of the recipe.
        seed (int): Of all random draws. Defaults to 0.
        work_dir (Path): Folder for all that is run. Defaults to ``work_dirs/reproduce``.
        cfg_options (Sequence[str]): Further overrides of the pretraining's config, ``KEY=VALUE``;
            at the demo's scale of its evaluation too. Defaults to none.
        paper (str): See :func:`read_tables`. Defaults to ``'cmac'``.

    Raises:
        ValueError: If there is no such paper, table, row or scale, the table has nothing at this
            scale, or the batch does not divide by the number of GPUs.
    """

    def __init__(
        self,
        table: str,
        rows: Sequence[str] = (),
        scale: str = "paper",
        gpus: int | None = None,
        seed: int = 0,
        work_dir: Path = Path("work_dirs/reproduce"),
        cfg_options: Sequence[str] = (),
        paper: str = "cmac",
    ) -> None:
        self.known = known = read_tables(paper)
        self.paper = paper
        for word, value, names in (
            ("table", table, known["tables"]),
            ("scale", scale, known["scales"]),
        ):
            if value not in names:
                raise ValueError(f"no {word} {value!r}: expected one of {', '.join(names)}")
        self.table = table
        self.entry = known["tables"][table]
        if unknown := [row for row in rows if row not in self.entry["rows"]]:
            raise ValueError(
                f"{table} has no row {unknown[0]!r}: expected {', '.join(self.entry['rows'])}"
            )
        self.evaluations = ["demo"] if scale == "demo" else self.entry["evaluations"]
        if scale == "demo" and self.entry["rows"].keys().isdisjoint(known["trainings"]):
            raise ValueError(f"{table} has released encoders: expected --scale paper")
        if not self.evaluations:
            raise ValueError(f"{table} is drawn on the built-in set: expected --scale demo")
        self.rows = [row for row in self.entry["rows"] if not rows or row in rows]
        self.scale = scale
        self.recipe_gpus = known["scales"][scale]["gpus"]
        self.gpus = gpus or self.recipe_gpus
        self.seed = seed
        self.folder = Path(work_dir) / (scale if paper == "cmac" else paper)
        self.cfg_options = list(cfg_options)

    def steps(self, row: str) -> list[Step]:
        """List the runs of a row, in order; empty for random weights at the demo's scale."""
        if row == SCRATCH and self.scale == "demo":
            return []
        trainings = self._trainings(row) if row in self.known["trainings"] else []
        train = trainings[-1] if trainings else None
        return [*trainings, *(self._evaluation(row, name, train) for name in self.evaluations)]

    def commands(self) -> str:
        """List the remaining commands, for a shell."""
        lines = []
        for progress, steps in self._progress():
            lines.append(f"# {progress}")
            lines += [_shell_line(step.command) for step in steps]
        return "\n".join(lines)

    def run(self) -> None:
        """Run the remaining steps, with a line for each row; print and write the table.

        Raises:
            SystemExit: If a process fails, with its exit status.
        """
        for progress, steps in self._progress():
            print(progress, flush=True)
            for step in steps:
                if status := step.run():
                    print(f"{step.name} ended with {status}: see {step.output}", file=sys.stderr)
                    sys.exit(status if status > 0 else 1)
        text = self.format()
        path = self.folder / f"{self.table}.md"
        write_text(path, text)
        print(f"\n{text}\nwritten: {path}")
        if self.paper == "cmac" and self.table == "figure4":
            curves = self._curves()
            if curves:
                path = path.with_suffix(".png")
                draw_curves(curves, "lambda", path)
                print(f"written: {path}")
        if self.table == "figure5":
            for row in self.rows:
                print(f"{row}: {self._evaluation_folder(row, 'demo') / 'attention_sheet.png'}")

    def format(self) -> str:
        """Format the table as Markdown, in percent, our results beside the paper's."""
        head = ["row", "the paper's name"]
        for _, benchmark, metric in self._figures():
            head += [f"{benchmark}, {metric}", *(["paper"] if self.scale == "paper" else [])]
        lines = [f"| {' | '.join(head)} |", f"|---|---|{'---:|' * (len(head) - 2)}"]
        for row in self.rows:
            label = self.entry["rows"][row]
            cells = [row, label]
            for evaluation, benchmark, metric in self._figures():
                cells.append(_cell(self._value(row, evaluation, benchmark, metric)))
                if self.scale == "paper":
                    cells.append(_cell(self._paper_value(row, evaluation, benchmark, metric)))
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def _progress(self) -> Iterator[tuple[str, list[Step]]]:
        """A line on each row, and what is left of it."""
        for number, row in enumerate(self.rows, start=1):
            left = [step for step in self.steps(row) if not step.is_done]
            names = ", ".join(step.name for step in left) or "done"
            yield f"{self.table} [{number}/{len(self.rows)}] {row}: {names}", left

    def _trainings(self, row: str) -> list[Step]:
        """The row's training, after the one that it starts from; none with released weights."""
        training = self.known["trainings"][row]
        if "released" in training:
            return []
        before, start = [], []
        if "needs" in training:
            first, epoch = training["needs"]
            before = self._trainings(first)
            start = [f"load_from={self.folder / first / f'epoch_{epoch}.pth'}"]
        return [*before, self._training(row, start)]

    def _training(self, row: str, start: Sequence[str]) -> Step:
        known = self.known
        training = known["trainings"][row]
        config, options = training["paper"], [*training.get("options", ()), *start]
        if self.scale == "demo":
            config, options = known["evaluations"]["demo"]["config"], training["demo"]
            if "like" in training:
                options = [*known["trainings"][training["like"]]["demo"], *options]
        config = f"cmac_mm::{config}"
        options = [*known["scales"][self.scale]["options"], *options, *self.cfg_options]
        cfg = Options(config, None, cfg_options=options).load_config()
        folder = self.folder / row
        arguments = [config, *([str(self.gpus)] if self.gpus > 1 else []), "--resume"]
        arguments += ["--seed", str(self.seed), "--work-dir", str(folder)]
        if own := [*options, *self._same_batch(cfg.train_dataloader.batch_size)]:
            arguments += ["--cfg-options", *own]
        return Step(
            "train",
            tool_command("train", arguments, self.gpus),
            folder,
            [folder / f"epoch_{cfg.train_cfg.max_epochs}.pth"],
            {"config": config, "options": options, "seed": self.seed},
        )

    def _same_batch(self, batch_size: int) -> list[str]:
        """Options that keep the recipe's number of videos a step on another number of GPUs."""
        if self.recipe_gpus % self.gpus == 0:
            parts = self.recipe_gpus // self.gpus
            return [f"optim_wrapper.accumulative_counts={parts}"] if parts > 1 else []
        videos = self.recipe_gpus * batch_size
        if videos % self.gpus:
            raise ValueError(
                f"--gpus {self.gpus}: {videos} videos a step do not divide by it, nor does it "
                f"divide {self.recipe_gpus}"
            )
        return [f"train_dataloader.batch_size={videos // self.gpus}"]

    def _evaluation(self, row: str, name: str, train: Step | None) -> Step:
        evaluation = self.known["evaluations"][name]
        config = f"cmac_mm::{evaluation['config']}"
        folder = self._evaluation_folder(row, name)
        # Of a row without training, the name of a released model.
        checkpoint = self.known["trainings"].get(row, {}).get("released")
        if row not in (SCRATCH, *self.known["trainings"]):
            checkpoint = row
        if train is not None:
            checkpoint = str(train.results[0])
        options = train.settings["options"] if train and self.scale == "demo" else []
        arguments = [config, checkpoint or "none"]
        arguments += ["--seed", str(self.seed), "--work-dir", str(folder)]
        # Fine-tuning keeps its batch, which is one GPU's.
        if self.gpus > 1 and "launcher" in KINDS[evaluation_kind(Options(config, None))][1]:
            arguments += ["--gpus", str(self.gpus)]
        if options:
            arguments += ["--cfg-options", *options]
        return Step(
            name,
            tool_command("evaluate", arguments),
            folder,
            [folder / f"{benchmark}.json" for benchmark in evaluation["figures"]],
            {"config": config, "options": options, "seed": self.seed, "checkpoint": checkpoint},
        )

    def _evaluation_folder(self, row: str, name: str) -> Path:
        return self.folder / row / f"evaluation_{name}"

    def _figures(self) -> Iterator[tuple[str, str, str]]:
        """Evaluation, benchmark and metric of each column."""
        for name in self.evaluations:
            for benchmark, metrics in self.known["evaluations"][name]["figures"].items():
                for metric in metrics:
                    yield name, benchmark, metric

    def _value(self, row: str, evaluation: str, benchmark: str, metric: str) -> float | None:
        """What came out, in percent; None if it was not run or has no such figure."""
        part = "metrics"
        paths = [self._evaluation_folder(row, evaluation) / f"{benchmark}.json"]
        if row == SCRATCH and self.scale == "demo":
            # Every evaluation of the demo has the same network untrained.
            part = "untrained"
            paths = [
                self._evaluation_folder(other, evaluation) / f"{benchmark}.json"
                for other in self.entry["rows"]
            ]
        for path in paths:
            if path.is_file() and metric in (figures := read_json(path)[part]):
                return 100 * figures[metric]
        return None

    def _paper_value(self, row: str, evaluation: str, benchmark: str, metric: str) -> float | None:
        """The paper's figure, in percent, where it has one; figure 4's ends are in table 1."""
        wanted: dict[str, object] = dict(benchmark=benchmark, metric=metric)
        if self.paper != "cmac":
            wanted |= dict(source=self.entry.get("source"), method=self.entry["rows"][row])
        elif protocol := self.known["evaluations"][evaluation].get("protocol"):
            entry = find_entry(row)
            pretraining = entry.pretraining.split(" (")[0]
            wanted |= dict(
                protocol=protocol, method=entry.method, pretraining=pretraining, split=None
            )
        else:
            table = "table1" if self.table == "figure4" else self.table
            source = _SOURCE.format(table.removeprefix("table"))
            wanted |= dict(source=source, method=self.known["tables"][table]["rows"].get(row))
        data = self.entry.get("pretraining")
        for figure in paper_results():
            if data is not None and figure.pretraining not in data:
                continue
            if wanted.items() <= figure._asdict().items():
                return figure.percent
        return None

    def _curves(self) -> dict[str, dict[float, float]]:
        """Percent over lambda, by benchmark and metric."""
        curves: dict[str, dict[float, float]] = {}
        for evaluation, benchmark, metric in self._figures():
            for row in self.rows:
                value = self._value(row, evaluation, benchmark, metric)
                if value is not None:
                    curve = curves.setdefault(f"{benchmark}, {metric}", {})
                    curve[float(self.entry["rows"][row])] = value
        return curves


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _shell_line(command: Sequence[str]) -> str:
    """A command as one types it, with python for this interpreter."""
    program, *arguments = command
    return shlex.join(["python" if program == sys.executable else program, *arguments])
