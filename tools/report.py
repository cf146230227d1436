"""Collect results into one table and picture: python tools/report.py FOLDER... [--out FOLDER]."""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Collect what evaluations have written into one table beside the papers' "
        "figures: report.md and report.png. A column is a checkpoint, or a method with a "
        "checkpoint a seed; a row is a benchmark under one protocol. Splits and folds are "
        "averaged, seeds too, with their spread."
    )
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="FOLDER",
        help="where results are, sub-folders included: work_dirs; with a name, all that is in some "
        "folders is one column: CMAC=work_dirs/cmac-0,work_dirs/cmac-1",
    )
    parser.add_argument("--out", type=Path, help="folder to write to (default: the first folder)")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.evaluation import build_report, format_markdown, load_results
from cmac_mm.utils import write_text
from cmac_mm.visualization import draw_report


def split_argument(argument: str) -> tuple[str | None, list[Path]]:
    """Name of a column, None where there is none, and its folders."""
    name, equals, folders = argument.partition("=")
    if not equals or Path(argument).is_dir():
        return None, [Path(argument)]
    return name, [Path(folder) for folder in folders.split(",")]


def read_results(arguments: list[str]) -> list[dict]:
    """All results, each once: first those without a named column, oldest first, then the others."""
    results: dict[str, dict] = {}
    for column, folders in map(split_argument, arguments):
        for result in (r for folder in folders for r in load_results(folder.resolve())):
            known = results.setdefault(result["path"], result)
            if column is None:
                continue
            if known.setdefault("column", column) != column:
                raise ValueError(f"{result['path']} is in two columns, {known['column']}, {column}")
    alone = [result for result in results.values() if "column" not in result]
    return [
        *sorted(alone, key=lambda result: result.get("date", "")),
        *(result for result in results.values() if "column" in result),
    ]


def main(args: argparse.Namespace) -> None:
    """Report as the command line says."""
    results = read_results(args.folders)
    if not results:
        raise SystemExit(f"no results in {', '.join(args.folders)}")
    report = build_report(results)
    out = args.out or split_argument(args.folders[0])[1][0]
    text = format_markdown(report)
    write_text(out / "report.md", text)
    draw_report(report, out / "report.png")
    print(text)
    print(f"{len(results)} results; written: {out / 'report.md'}, {out / 'report.png'}")


if __name__ == "__main__":
    main(ARGS)
