"""List the released encoders that have a name: python tools/list_models.py [PATTERN]."""

import argparse


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="List the released encoders that get_model and tools/evaluate.py know by name, "
        "as a Markdown table: what they see and hear, the authors' figures, the licence."
    )
    parser.add_argument("pattern", nargs="?", default="*", help="which ones, such as 'avid*' (all)")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.apis import models_table


def main(args: argparse.Namespace) -> None:
    """Print the table."""
    print(models_table(args.pattern), end="")


if __name__ == "__main__":
    main(ARGS)
