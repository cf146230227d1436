"""Import AVID's statistics of spectrograms: tools/converters/import_statistics.py NPZ OUT."""

import argparse
import sys


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Turn the statistics that AVID's authors publish (datasets/assets/*.npz) into "
        "the json file that AVIDSpectrogram reads. Beside AVID's weights, as "
        "avid_spectrogram.json, it is taken by itself."
    )
    parser.add_argument("npz", help="the authors' file, mean and std of 257 or 129 bands")
    parser.add_argument("out", help="json file to write")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.zoo import import_statistics


def main(args: argparse.Namespace) -> None:
    """Import as the command line says."""
    try:
        settings = import_statistics(args.npz, args.out)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"for {', '.join(f'{key} {value:g}' for key, value in settings.items())}")
    print(f"written: {args.out}")


if __name__ == "__main__":
    main(ARGS)
