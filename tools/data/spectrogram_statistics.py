"""Measure the spectrograms of a training set, for AVID's front end.

Takes one clip of each video of the config's training list, drawn as in training but without its
pictures, and writes mean and standard deviation of each frequency band, in dB, to a json file:
what `AVIDSpectrogram(statistics=...)` reads. Videos that cannot be heard are listed and left out.
"""

import argparse
import sys
import time
from pathlib import Path

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config file, or cmac_mm::NAME")
    parser.add_argument(
        "out", type=Path, nargs="?", help="file to write (`statistics` in the config's pipeline)"
    )
    parser.add_argument(
        "--max-videos", type=int, default=10000, help="videos drawn from the list (10000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice and the draws (0)")
    parser.add_argument("--workers", type=int, help="processes (one per CPU core)")
    parser.add_argument(
        "--timeout", type=float, default=60, help="time limit of one video in seconds (60)"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="set variables or override fields of the config, e.g. ann_file_train=list.txt",
    )
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.preparation import spectrogram_statistics
from cmac_mm.utils import load_config


def main(args: argparse.Namespace) -> None:
    """Measure and report."""
    begin = time.monotonic()
    try:
        cfg = load_config(args.config, args.cfg_options)
        summary = spectrogram_statistics(
            cfg, args.out, args.max_videos, args.seed, args.workers, args.timeout
        )
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: nothing was written")
    for failure in summary.failures:
        print(f"not heard: {failure}")
    mean, std = summary.mean, summary.std
    print(
        f"{summary.num_clips} clips in {time.monotonic() - begin:.0f} s, {len(summary.failures)} "
        f"left out; means from {mean.min():.1f} to {mean.max():.1f} dB, standard deviations from "
        f"{std.min():.1f} to {std.max():.1f} dB"
    )
    print(f"written: {args.out or 'the file that the config names'}")


if __name__ == "__main__":
    main(ARGS)
