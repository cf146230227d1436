"""Make the built-in set of sounding shapes (see ``cmac_mm/datasets/sounding_shapes``)."""

import argparse

from cmac_mm.datasets.sounding_shapes import make_sounding_shapes


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out_dir")
    parser.add_argument("--num-train", type=int, default=4096)
    parser.add_argument("--num-test", type=int, default=512)
    parser.add_argument("--num-bad", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    args = parse_args()
    make_sounding_shapes(**vars(args))
