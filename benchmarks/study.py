"""Train and judge the rows of a study, with several seeds, from a queue that can be interrupted.

    python benchmarks/study.py benchmarks/studies/attention_ties --lanes 2
    python benchmarks/study.py benchmarks/studies/attention_ties --table

FOLDER/study.yml says what is run:

    config: configs/demo/cmac_sounding-shapes.py
    seeds: [0, 1, 2]
    options: [data_root=data/sounding_shapes_hard]    # of every training and evaluation
    test_options: []                                  # of every evaluation
    rows:
      as it is: []
      lambda 0.3: [model.head.loss_attention.loss_weight=0.3]

Each row and seed is a run of tools/train.py and then of tools/evaluate.py, with one thread. All
rows of one seed come before those of the next. A run that was interrupted goes on from its last
checkpoint; one whose result is in FOLDER/results is done. FOLDER/table.md has means, standard
deviations, and differences from the first row over the seeds that both have.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cmac_mm.apis.evaluate import Options
from cmac_mm.apis.processes import run_command, tool_command
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
            [*study["options"], *options],
            study["test_options"],
            study["config"],
            folder / "results" / f"{slugs[row]}_seed{seed}.json",
            work_dir / folder.name / f"{slugs[row]}_seed{seed}",
        )
        for seed in study["seeds"]
        for row, options in study["rows"].items()
    ]


def is_done(run: Run) -> bool:
    """Whether the result is there.

    Raises:
        ValueError: If it is that of other options.
    """
    if not run.result.is_file():
        return False
    stored = read_json(run.result)["study"]
    wanted = describe(run)
    if stored != wanted:
        raise ValueError(
            f"{run.result} was made with {stored}, the study has {wanted}: remove the file to run "
            "the row again"
        )
    return True


def describe(run: Run) -> dict:
    """What a result belongs to."""
    return {
        "row": run.row,
        "seed": run.seed,
        "config": run.config,
        "options": run.options,
        "test_options": run.test_options,
    }


def execute(run: Run) -> None:
    """Train, evaluate, and keep the result."""
    run.folder.mkdir(parents=True, exist_ok=True)
    options = ["--cfg-options", *run.options] if run.options else []
    cfg = Options(run.config, None, cfg_options=run.options).load_config()
    last = run.folder / f"epoch_{cfg.train_cfg.max_epochs}.pth"
    common = [run.config, "--seed", str(run.seed), "--work-dir", str(run.folder)]
    if not last.is_file():
        call(run, "train", [*common, "--resume", *options])
    options = ["--cfg-options", *run.options, *run.test_options]
    found = run.folder / "evaluation"
    arguments = [run.config, str(last), "--seed", str(run.seed), "--work-dir", str(found)]
    call(run, "evaluate", [*arguments, *(options if len(options) > 1 else [])])
    (path,) = found.glob("*.json")
    result = {**read_json(path), "study": describe(run)}
    write_text(run.result, json.dumps(result, indent=2) + "\n")
    for picture in found.glob("*.png"):
        shutil.copy(picture, run.folder)


def call(run: Run, tool: str, arguments: list[str]) -> None:
    """Run a tool; what it prints goes to a file.

    Raises:
        RuntimeError: If it fails.
    """
    log = run.folder / f"{tool}.txt"
    status = run_command(tool_command(tool, arguments), log)
    if status:
        raise RuntimeError(f"{run.row}, seed {run.seed}: {tool}.py ended with {status}: {log}")


def run_all(runs: list[Run], lanes: int) -> list[str]:
    """Execute runs, several at a time; returns what went wrong."""
    failures = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with (
        Progress(*columns, TimeRemainingColumn(elapsed_when_finished=True)) as progress,
        ThreadPoolExecutor(lanes) as pool,
    ):
        bar = progress.add_task("runs", total=len(runs))
        waiting = {pool.submit(execute, run): run for run in runs}
        for future in as_completed(waiting):
            run = waiting[future]
            try:
                future.result()
                progress.console.print(f"{run.row}, seed {run.seed}: {run.result}")
            except RuntimeError as error:
                failures.append(str(error))
                progress.console.print(str(error))
            progress.advance(bar)
    return failures


def format_table(runs: list[Run]) -> str:
    """Means and deviations of the rows in percent, and differences from the first row."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for run in runs:
        if is_done(run):
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
    left = [] if args.table else [run for run in chosen if not is_done(run)]
    failures = run_all(left, args.lanes) if left else []
    path = args.folder / "table.md"
    text = format_table(runs)
    write_text(path, text)
    print(f"{text}\nwritten: {path}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(parse_args()))
