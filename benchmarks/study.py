"""Train and judge the rows of a study, with several seeds, from a queue that can be interrupted.

    python benchmarks/study.py benchmarks/studies/attention_ties --lanes 2
    python benchmarks/study.py benchmarks/studies/attention_ties --table

FOLDER/study.yml says what is run:

    config: configs/demo/cmac_sounding-shapes.py      # one of the demo's
    seeds: [0, 1, 2]
    options: [data_root=data/sounding_shapes_hard]    # of every training and evaluation
    test_options: []                                  # of every evaluation
    rows:
      as it is: []
      lambda 0.3: [model.head.loss_attention.loss_weight=0.3]

In an option `{seed}` is the run's: a row can start from a checkpoint that another study has made.

Each row and seed is a run of tools/train.py and then of tools/evaluate.py, with one thread. All
rows of one seed come before those of the next. A run that was interrupted goes on from its last
checkpoint; one whose result is in FOLDER/results is done. FOLDER/table.md has means, standard
deviations, and differences from the first row over the seeds that both have.
"""

import argparse
import json
import os
import re
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cmac_mm.apis.evaluate import Options
from cmac_mm.apis.processes import tool_command
from cmac_mm.apis.steps import Step
from cmac_mm.utils import read_json, write_text

KEYS = {"config", "seeds", "options", "test_options", "rows"}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder with study.yml")
    parser.add_argument("--lanes", type=int, default=1, help="runs at a time (1)")
    parser.add_argument("--rows", nargs="+", help="names of the rows to run (all)")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds to run (those of the study)")
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs/studies"), help="for runs (%(default)s)"
    )
    parser.add_argument("--table", action="store_true", help="only draw the table anew")
    args = parser.parse_args()
    if args.lanes < 1:
        parser.error(f"--lanes must be at least 1, got {args.lanes}")
    return args


@dataclass(frozen=True)
class Run:
    """One row of a study with one seed.

    Attributes:
        row (str): Its name.
        seed (int): Of training and evaluation.
        options (list[str]): Overrides of the config, of this row and of all.
        test_options (list[str]): Further overrides of the evaluation.
        config (str): The config.
        result (Path): File of its result.
        folder (Path): Its work folder.
    """

    row: str
    seed: int
    options: list[str]
    test_options: list[str]
    config: str
    result: Path
    folder: Path

    @property
    def settings(self) -> dict:
        """What the result belongs to."""
        names = ("row", "seed", "config", "options", "test_options")
        return {name: getattr(self, name) for name in names}

    @property
    def is_done(self) -> bool:
        """Whether the result is there.

        Raises:
            ValueError: If it is that of other options.
        """
        if not self.result.is_file():
            return False
        stored = read_json(self.result)["study"]
        if stored != self.settings:
            raise ValueError(
                f"{self.result} was made with {stored}, the study has {self.settings}: remove the "
                "file to run the row again"
            )
        return True

    def steps(self) -> tuple[Step, Step]:
        """Training and evaluation."""
        cfg = Options(self.config, None, cfg_options=self.options).load_config()
        last = self.folder / f"epoch_{cfg.train_cfg.max_epochs}.pth"
        found = self.folder / "evaluation"
        train, evaluate = (
            [*arguments, "--seed", str(self.seed), "--work-dir", str(folder)]
            + (["--cfg-options", *options] if options else [])
            for arguments, folder, options in (
                ([self.config, "--resume"], self.folder, self.options),
                ([self.config, str(last)], found, [*self.options, *self.test_options]),
            )
        )
        name = f"{self.row}, seed {self.seed}"
        settings = {"config": self.config, "options": self.options, "seed": self.seed}
        result = found / "sounding-shapes.json"
        return (
            Step(f"{name}: train", tool_command("train", train), self.folder, [last], settings),
            Step(
                f"{name}: evaluate",
                tool_command("evaluate", evaluate),
                found,
                [result],
                {**settings, "test_options": self.test_options},
            ),
        )

    def execute(self) -> None:
        """Train, evaluate, and keep the result.

        Raises:
            RuntimeError: If one of them fails.
            ValueError: If the work folder holds a run of other options.
        """
        steps = self.steps()
        for step in steps:
            if not step.is_done and (status := step.run()):
                raise RuntimeError(f"{step.name} ended with {status}: see {step.output}")
        result = {**read_json(steps[-1].results[0]), "study": self.settings}
        write_text(self.result, json.dumps(result, indent=2) + "\n")


def read_runs(folder: Path, work_dir: Path) -> list[Run]:
    """All runs of a study, the first seed's first.

    Raises:
        ValueError: If study.yml has other keys than it should.
    """
    path = folder / "study.yml"
    study = yaml.safe_load(path.read_text())
    if not isinstance(study, dict) or study.keys() != KEYS or not study["rows"]:
        raise ValueError(
            f"{path}: expected the keys {', '.join(sorted(KEYS))}, and one row or more"
        )
    slugs = {row: re.sub(r"[^a-z0-9.]+", "-", row.lower()).strip("-") for row in study["rows"]}
    if len(set(slugs.values())) < len(slugs):
        raise ValueError(f"{path}: names of rows must differ in letters or digits: {list(slugs)}")
    return [
        Run(
            row,
            seed,
            [option.format(seed=seed) for option in (*study["options"], *options)],
            study["test_options"],
            study["config"],
            folder / "results" / f"{slugs[row]}_seed{seed}.json",
            work_dir / folder.name / f"{slugs[row]}_seed{seed}",
        )
        for seed in study["seeds"]
        for row, options in study["rows"].items()
    ]


def run_all(runs: list[Run], lanes: int) -> list[str]:
    """Execute runs, several at a time; returns what went wrong."""
    failures = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with (
        Progress(*columns, TimeRemainingColumn(elapsed_when_finished=True)) as progress,
        ThreadPoolExecutor(lanes) as pool,
    ):
        bar = progress.add_task("runs", total=len(runs))
        waiting = {pool.submit(run.execute): run for run in runs}
        for future in as_completed(waiting):
            run = waiting[future]
            try:
                future.result()
                progress.console.print(f"{run.row}, seed {run.seed}: {run.result}", soft_wrap=True)
            except (RuntimeError, ValueError) as error:
                failures.append(str(error))
                progress.console.print(str(error), soft_wrap=True)
            progress.advance(bar)
    return failures


def format_table(runs: list[Run]) -> str:
    """Means and deviations of the rows in percent, and differences from the first row."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for run in runs:
        if run.is_done:
            found.setdefault(run.row, {})[run.seed] = read_json(run.result)["metrics"]
    if not found:
        return "no results yet\n"
    names = list(dict.fromkeys(n for seeds in found.values() for m in seeds.values() for n in m))
    head = ["row", "seeds", *names]
    lines = [f"| {' | '.join(head)} |", f"|---|---:|{'---:|' * len(names)}"]
    for row, seeds in found.items():
        values = [spread([m[name] for m in seeds.values() if name in m]) for name in names]
        lines.append(f"| {' | '.join([row, str(len(seeds)), *values])} |")
    first, *others = found
    lines += ["", f"Differences from *{first}*, over the seeds that both have:", "", *lines[:2]]
    for row in others:
        common = [seed for seed in found[row] if seed in found[first]]
        values = [
            spread(
                [
                    found[row][seed][name] - found[first][seed][name]
                    for seed in common
                    if name in found[row][seed] and name in found[first][seed]
                ],
                "+",
            )
            for name in names
        ]
        lines.append(f"| {' | '.join([row, str(len(common)), *values])} |")
    return "\n".join(lines) + "\n"


def spread(values: list[float], sign: str = "") -> str:
    """Mean and standard deviation in percent; what there is of it."""
    if not values:
        return ""
    mean = f"{100 * statistics.mean(values):{sign}.1f}"
    return mean if len(values) == 1 else f"{mean} ± {100 * statistics.stdev(values):.1f}"


def main(args: argparse.Namespace) -> int:
    """Run what is left of the study, and draw its table."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of what is started
    runs = read_runs(args.folder, args.work_dir)
    unknown = set(args.rows or ()) - {run.row for run in runs}
    if unknown:
        raise ValueError(f"{args.folder} has no rows {sorted(unknown)}")
    chosen = [
        run
        for run in runs
        if run.row in (args.rows or [run.row]) and run.seed in (args.seeds or [run.seed])
    ]
    left = [] if args.table else [run for run in chosen if not run.is_done]
    failures = run_all(left, args.lanes) if left else []
    path = args.folder / "table.md"
    text = format_table(runs)
    write_text(path, text)
    print(f"{text}\nwritten: {path}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(parse_args()))
