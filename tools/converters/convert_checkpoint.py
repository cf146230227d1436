"""Convert a peer's checkpoint: python tools/converters/convert_checkpoint.py SOURCE FILE OUT."""

import argparse


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Convert a checkpoint of another project into one of ours: visual_backbone.* "
        "and audio_backbone.*, with where it comes from. Heads are left behind; a key that is "
        "missing, unknown or of another shape is an error."
    )
    parser.add_argument(
        "source",
        choices=["torchvision", "xdc", "avid", "gdt", "selavi"],
        help="whose checkpoint it is",
    )
    parser.add_argument("checkpoint", help="the file to convert, read weights-only")
    parser.add_argument("out", help="file to write, *.pth")
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.apis import convert_checkpoint


def main(args: argparse.Namespace) -> None:
    """Convert as the command line says."""
    summary = convert_checkpoint(args.source, args.checkpoint, args.out)
    for part, count in summary.pop("num_keys").items():
        print(f"{part}: {count} entries")
    for key, value in summary.items():
        print(f"{key}: {value}")
    print(f"written to {args.out}")


if __name__ == "__main__":
    main(ARGS)
