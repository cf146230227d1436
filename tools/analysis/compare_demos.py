"""Methods side by side on the built-in set: python tools/analysis/compare_demos.py NAME=FOLDERS."""

import argparse
from pathlib import Path
from statistics import mean, stdev
from typing import Any


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="One table of what tools/evaluate_demo.py found: retrieval and linear probes "
        "of both modalities, a column a method, in percent, mean and standard deviation over its "
        "folders (seeds). 'untrained' is over the first method's folders."
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="NAME=FOLDER[,FOLDER...]",
        help="a method and the folders that hold its evaluation.json, one a seed",
    )
    parser.add_argument("--out", type=Path, help="write the table to this file too")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.utils import read_json, write_text

ROWS = ("retrieval R@1", "retrieval R@5", "linear probe")


def main(args: argparse.Namespace) -> None:
    """Print the table."""
    results = {}
    for run in args.runs:
        name, _, folders = run.partition("=")
        if not folders:
            raise SystemExit(f"expected NAME=FOLDER[,FOLDER...], got {run!r}")
        results[name] = [read_result(Path(folder)) for folder in folders.split(",")]
    text = comparison_table(results)
    print(text)
    if args.out is not None:
        write_text(args.out, text + "\n")


def read_result(folder: Path) -> dict[str, Any]:
    """What `evaluate_demo.py` wrote into a folder."""
    path = folder / "evaluation.json"
    if not path.is_file():
        raise SystemExit(f"{path} does not exist: run tools/evaluate_demo.py on a checkpoint there")
    result = read_json(path)
    if not isinstance(result, dict) or not {"videos", "seed", "table"} <= result.keys():
        raise ValueError(
            f"{path}: expected videos, seed and table, as tools/evaluate_demo.py has it"
        )
    return result


def comparison_table(results: dict[str, list[dict[str, Any]]]) -> str:
    """The table in Markdown.

    Args:
        results (dict[str, list[dict]]): For each method what :func:`read_result` gave, one a seed.

    Raises:
        ValueError: If not all were measured on as many test videos, or a method has a seed twice.
    """
    sizes = {name: {r["videos"]["test"] for r in runs} for name, runs in results.items()}
    if len(set.union(*sizes.values())) > 1:
        raise ValueError(f"the methods were judged on different numbers of test videos: {sizes}")
    for name, runs in results.items():
        seeds = [run["seed"] for run in runs]
        if len(set(seeds)) < len(seeds):
            raise ValueError(f"{name} has a seed twice: {seeds}")
    columns = {
        "chance": (next(iter(results.values()))[:1], "chance"),
        "untrained": (next(iter(results.values())), "untrained"),
        **{name: (runs, "trained") for name, runs in results.items()},
    }
    lines = ["| % | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for modality in ("visual", "audio"):
        for row in ROWS:
            cells = [
                spread([run["table"].get(f"{modality} {row}", {}).get(key) for run in runs])
                for runs, key in columns.values()
            ]
            lines.append(f"| {modality} {row} | " + " | ".join(cells) + " |")
    counts = ", ".join(f"{name} {len(runs)}" for name, runs in results.items())
    lines += ["", f"Seeds: {counts}. Test videos: {set.union(*sizes.values()).pop()}."]
    return "\n".join(lines)


def spread(values: list[float | None]) -> str:
    """Mean and standard deviation of shares, in percent; a dash where the method has none."""
    if None in values:
        return "-"
    percent = [100 * value for value in values]
    text = f"{mean(percent):.1f}"
    return text if len(percent) == 1 else f"{text} ± {stdev(percent):.1f}"


if __name__ == "__main__":
    main(ARGS)
