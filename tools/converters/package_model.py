r"""Make a file to give away of a checkpoint: package_model.py CONFIG CHECKPOINT OUT --data TEXT.

Writes the weights alone (weights-only, float32) to OUT, and beside it a card, NAME.md, with data,
steps, seed, SHA-256 and the figures of evaluations. The one in the package was made of
a quickstart with OMP_NUM_THREADS=1 by

    python tools/converters/package_model.py cmac_mm::demo/cmac_sounding-shapes.py \
        work_dirs/quickstart/epoch_6.pth cmac_mm/zoo/cmac-demo.pth --results work_dirs/quickstart \
        --data "the built-in set of sounding shapes: drawn objects and made-up sounds, nothing \
    real. On real videos it shows how things work, not what CMAC can do"
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config that it was trained with, or cmac_mm::NAME")
    parser.add_argument("checkpoint", type=Path, help="checkpoint of a run")
    parser.add_argument("out", type=Path, help="file to write, NAME.pth")
    parser.add_argument("--data", required=True, help="what it has seen, in a sentence")
    parser.add_argument("--results", type=Path, help="folder with results of its evaluations")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.evaluation import load_results
from cmac_mm.zoo.package import package_model


def main(args: argparse.Namespace) -> None:
    """Write as the command line says."""
    results = [] if args.results is None else load_results(args.results)
    card = package_model(args.config, args.checkpoint, args.out, args.data, results)
    print(card.read_text(encoding="utf-8"))
    print(f"written: {args.out}, {card}")


if __name__ == "__main__":
    main(ARGS)
