"""Tables of the CMAC paper and of released encoders: the runs of each row, and their results."""

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


@cache
def read_tables() -> dict:
    """Read ``configs/cmac/tables.yml`` and ``configs/zoo/tables.yml``."""
    known, zoo = (
        yaml.safe_load((project_folder("configs") / name).read_text(encoding="utf-8"))
        for name in ("cmac/tables.yml", "zoo/tables.yml")
    )
    for part, entries in zoo.items():
        known[part].update(entries)
    return known


def describe_tables() -> str:
    """Describe all tables with their rows."""
    known = read_tables()
    lines = []
    for name, table in known["tables"].items():
        lines.append(f"{name}: {table['title']}")
        for row, label in table["rows"].items():
            config = "random weights" if row == SCRATCH else "released"
            if row in known["trainings"]:
                config = known["trainings"][row]["paper"]
            lines.append(f"    {row:22} {label:24} {config}")
    return "\n".join(lines)


class Reproduction:
    """A table or figure of the paper or of released encoders, or some of its rows.

    Args:
        table (str): ``'table1'`` to ``'table6'``, ``'figure4'``, ``'figure5'``; or ``'avid'``,
            ``'gdt'``, ``'selavi'`` or ``'xdc'``, whose rows are released models.
        rows (Sequence[str]): Names of rows. Defaults to none: all.
        scale (str): ``'paper'``, or ``'demo'`` for the built-in set. Defaults to ``'paper'``.
        gpus (int, optional): GPUs, or processes on CPU. Defaults to None: those of the recipe.
        seed (int): Of all random draws. Defaults to 0.
        work_dir (Path): Folder for all that is run. Defaults to ``work_dirs/reproduce``.
        cfg_options (Sequence[str]): Further overrides of the pretraining's config, ``KEY=VALUE``;
            at the demo's scale of its evaluation too. Defaults to none.

    Raises:
        ValueError: If there is no such table, row or scale, the table has nothing at this scale, or
            the batch does not divide by the number of GPUs.
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
    ) -> None:
        known = read_tables()
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
        self.folder = Path(work_dir) / scale
        self.cfg_options = list(cfg_options)

    def steps(self, row: str) -> list[Step]:
        """List the runs of a row, in order; empty for random weights at the demo's scale."""
        if row == SCRATCH and self.scale == "demo":
            return []
        train = self._training(row) if row in read_tables()["trainings"] else None
        evaluations = [self._evaluation(row, name, train) for name in self.evaluations]
        return evaluations if train is None else [train, *evaluations]

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
        if self.table == "figure4":
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

    def _training(self, row: str) -> Step:
        known = read_tables()
        training = known["trainings"][row]
        config, options = training["paper"], []
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
        evaluation = read_tables()["evaluations"][name]
        config = f"cmac_mm::{evaluation['config']}"
        folder = self._evaluation_folder(row, name)
        checkpoint = None if row == SCRATCH else row  # a released model's name
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
            for benchmark, metrics in read_tables()["evaluations"][name]["figures"].items():
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
        if protocol := read_tables()["evaluations"][evaluation].get("protocol"):
            entry = find_entry(row)
            pretraining = entry.pretraining.split(" (")[0]
            wanted |= dict(
                protocol=protocol, method=entry.method, pretraining=pretraining, split=None
            )
        else:
            table = "table1" if self.table == "figure4" else self.table
            source = _SOURCE.format(table.removeprefix("table"))
            wanted |= dict(source=source, method=self.entry["rows"].get(row))
        for figure in paper_results():
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
