"""Re-encode videos so that training loads them fast.

Every video of a list or a folder becomes OUT_DIR/its/path.mp4: H.264 of a small size and constant
frame rate with frequent key frames, sound as AAC, 24 kHz, one channel; picture and sound stay where
they are to each other. The loader gets the same clips from it as from the source, several times
faster (tools/data/README.md).

What is made:
  OUT_DIR/**/*.mp4          the videos, each checked by decoding it; never a half one
  OUT_LIST                  the list with the new names, labels kept, of the videos that are there
  OUT_LIST as .failed.csv   the videos that could not be prepared, and why
  OUT_DIR/settings.json     the settings, so that two kinds are never mixed in one folder

An interrupted run goes on where it stopped when it is called again.
"""

import argparse
import sys
import time
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source", type=Path, metavar="LIST_OR_FOLDER", help="list of videos, or folder with videos"
    )
    parser.add_argument("out_dir", type=Path, metavar="OUT_DIR", help="folder to write to")
    parser.add_argument(
        "--prefix", type=Path, help="folder that paths in the list are relative to (here)"
    )
    parser.add_argument(
        "--out-list", type=Path, help="list to write (OUT_DIR/NAME.txt, NAME that of the source)"
    )
    parser.add_argument(
        "--short-side",
        type=int,
        default=144,
        help="shorter side in pixels; smaller ones stay as they are (144)",
    )
    parser.add_argument("--fps", type=float, default=30, help="frames per second (30)")
    parser.add_argument(
        "--key-interval",
        type=int,
        default=16,
        help="a key frame every this many frames (16)",
    )
    parser.add_argument(
        "--crf",
        type=int,
        default=20,
        help="quality of the picture, 0 (lossless) to 51 (20)",
    )
    parser.add_argument(
        "--need-sound", action="store_true", help="leave out videos without a sound track"
    )
    parser.add_argument("--workers", type=int, help="processes (one per CPU core)")
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler, such as tcp://host:8786, whose workers do it in place of processes",
    )
    parser.add_argument(
        "--timeout", type=float, default=600, help="time limit of one video in seconds (600)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.preparation import EncodeSettings, PrepareSummary, prepare_videos


def report(summary: PrepareSummary, seconds: float) -> None:
    """Print what was done."""
    print(f"{sum(summary.counts.values())} videos in {seconds:.0f} s")
    for what, count in summary.counts.most_common():
        print(f"  {count:8}  {what}")
    if summary.bytes_before:
        before, after = summary.bytes_before / 1e6, summary.bytes_after / 1e6
        print(f"{before:.1f} MB before, {after:.1f} MB after ({after / before:.0%})")
        print(f"{summary.without_sound} of them without sound")
    for name, kind, reason in summary.failures[:10]:
        print(f"{kind}: {name}: {reason}")
    if len(summary.failures) > 10:
        print(f"... and {len(summary.failures) - 10} more, in the .failed.csv file")


def main(args: argparse.Namespace) -> None:
    """Prepare and report."""
    options = vars(args)
    begin = time.monotonic()
    try:
        options["settings"] = EncodeSettings(
            *(options.pop(name) for name in ("short_side", "fps", "key_interval", "crf"))
        )
        summary = prepare_videos(**options)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on from here")
    report(summary, time.monotonic() - begin)
    if not summary.bytes_after:
        sys.exit("error: no video could be prepared")


if __name__ == "__main__":
    main(ARGS)
