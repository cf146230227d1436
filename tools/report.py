"""Collect results into one table and picture: python tools/report.py FOLDER... [--out FOLDER]."""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Collect what evaluations have written into one table beside the papers' "
        "figures: report.md and report.png. A column is a checkpoint, a row a benchmark under one "
        "protocol; splits and folds are averaged, seeds too, with their spread."
    )
    parser.add_argument(
        "folders", nargs="+", type=Path, help="where results are, sub-folders included: work_dirs"
    )
    parser.add_argument("--out", type=Path, help="folder to write to (default: the first folder)")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.evaluation import build_report, format_markdown, load_results
from cmac_mm.utils import write_text
from cmac_mm.visualization import draw_report


def main(args: argparse.Namespace) -> None:
    """Report as the command line says."""
    # A folder inside another one is read once.
    results = {r["path"]: r for folder in args.folders for r in load_results(folder.resolve())}
    if not results:
        raise SystemExit(f"no results in {', '.join(map(str, args.folders))}")
    report = build_report(sorted(results.values(), key=lambda result: result.get("date", "")))
    out = args.out or args.folders[0]
    text = format_markdown(report)
    write_text(out / "report.md", text)
    draw_report(report, out / "report.png")
    print(text)
    print(f"{len(results)} results; written: {out / 'report.md'}, {out / 'report.png'}")


if __name__ == "__main__":
    main(ARGS)
