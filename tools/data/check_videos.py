"""Find the files of a data set that cannot be trained on.

Opens each file of a list or a folder, decodes a second of picture and sound at its start, middle
and end (--full: everything) with the readers that training uses, and writes

  OUT_LIST   the good files: the same lines in the same order
  TABLE      a csv file with a row a file: verdict (ok, bad, crashed, timed out, failed) and reason,
             duration, frame rate, size of the upright picture, codecs, sound (none, silent, ok,
             bad) with its peak and RMS level in dB of full scale (where it was looked at), bytes,
             and equal files, if asked for

A file that hangs or kills the decoder costs its own verdict only. An interrupted scan goes on where
it stopped when it is called again. A folder's list has no labels (the label 0 where a name holds a
space, which the format asks for).
"""

import argparse
import re
import sys
import time
from collections import Counter
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source", type=Path, metavar="LIST_OR_FOLDER", help="list of files, or folder with files"
    )
    parser.add_argument(
        "out_list", type=Path, metavar="OUT_LIST", help="list of good files to write"
    )
    parser.add_argument("--table", type=Path, help="table to write (OUT_LIST as .csv)")
    parser.add_argument(
        "--prefix", type=Path, help="folder that paths in the list are relative to (here)"
    )
    parser.add_argument(
        "--need",
        default="both",
        choices=("both", "picture", "sound"),
        help="what a good file has (both)",
    )
    parser.add_argument(
        "--min-duration",
        type=float,
        default=0.0,
        help="shortest length of a good file in seconds (0)",
    )
    parser.add_argument(
        "--silence-db",
        type=float,
        default=-80.0,
        help="a sound that nowhere reaches this level is silent, in dB of full scale (-80)",
    )
    parser.add_argument("--full", action="store_true", help="decode the whole of each file")
    parser.add_argument(
        "--duplicates", action="store_true", help="find files that are equal byte by byte"
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="LIST_OR_FOLDER",
        help="find files that are equal to one of these, as a test video to a training video",
    )
    parser.add_argument(
        "--against-prefix", type=Path, help="as --prefix, for --against (the same folder)"
    )
    parser.add_argument("--workers", type=int, help="processes (one per CPU core)")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler, such as tcp://host:8786, whose workers do it in place of processes",
    )
    parser.add_argument(
        "--timeout", type=float, default=60, help="time limit of one file in seconds (60)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="start anew where results are there already"
    )
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.preparation import Criteria, ScanSummary, scan_videos


def report(summary: ScanSummary, seconds: float, args: argparse.Namespace) -> None:
    """Print what was found."""
    reports = summary.reports
    print(f"{len(reports)} files in {seconds:.0f} s", end="")
    print(f", {summary.num_resumed} of them by the interrupted scan" if summary.num_resumed else "")
    for verdict, count in summary.verdicts.most_common():
        print(f"  {count:8}  {verdict}")
    # Times and sizes differ from file to file; the kind of reason is what counts.
    reasons = Counter(
        re.sub(r"\d+(\.\d+)?", "N", found.reason.split(" (")[0])
        for found in reports
        if found.verdict == "bad"
    )
    for reason, count in reasons.most_common():
        print(f"  {count:8}  bad: {reason}")
    sounds = Counter(found.sound or "unknown" for found in reports)
    print("sound:", ", ".join(f"{count} {sound}" for sound, count in sounds.most_common()))
    hours = sum(found.duration or 0 for found in reports if found.verdict == "ok") / 3600
    print(f"good files last {hours:.2f} hours")
    if args.duplicates:
        print(f"{summary.num_equal} files are equal to another one of the list")
    if args.against:
        print(f"{summary.num_leaked} files are equal to one of {args.against}")
    for found in reports:
        if found.verdict not in ("ok", "bad"):
            print(f"{found.verdict}: {found.file}: {found.reason}")


def main(args: argparse.Namespace) -> None:
    """Scan and report."""
    options = dict(vars(args))
    begin = time.monotonic()
    try:
        options["criteria"] = Criteria(
            *(options.pop(name) for name in ("need", "min_duration", "silence_db", "full"))
        )
        summary = scan_videos(**options)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on from here")
    report(summary, time.monotonic() - begin, args)
    if not summary.verdicts["ok"]:
        if all("FileNotFoundError" in found.reason for found in summary.reports):
            folder = args.prefix or Path.cwd()
            sys.exit(
                f"error: none of the files is there, such as {folder / summary.reports[0].file}: "
                "is --prefix the folder that the list's paths are relative to?"
            )
        sys.exit("error: no file is good")


if __name__ == "__main__":
    main(ARGS)
