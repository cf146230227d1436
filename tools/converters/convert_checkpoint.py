"""Convert another project's checkpoint: python tools/converters/convert_checkpoint.py FILE OUT."""

import argparse


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Convert a checkpoint of another project into one of ours: visual_backbone.*, "
        "audio_backbone.* and projections.*, with where it comes from and what it takes. A key "
        "that is missing, unknown or of another shape is an error."
    )
    parser.add_argument("checkpoint", help="the file to convert, read weights-only")
    parser.add_argument("out", help="file to write, *.pth or *.safetensors")
    parser.add_argument(
        "--format",
        choices=["auto", "torchvision", "xdc", "avid", "gdt", "selavi"],
        default="auto",
        help="whose checkpoint it is (auto: as its keys and shapes say)",
    )
    parser.add_argument(
        "--to-torchvision",
        action="store_true",
        help="the other way round: write the video encoder of a checkpoint of ours as a state dict "
        "of torchvision's r2plus1d_18",
    )
    args = parser.parse_args()
    if args.to_torchvision and args.format != "auto":
        parser.error("--to-torchvision takes a checkpoint of ours, --format means nothing to it")
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.apis import convert_checkpoint, export_to_torchvision


def main(args: argparse.Namespace) -> None:
    """Convert as the command line says."""
    if args.to_torchvision:
        count = export_to_torchvision(args.checkpoint, args.out)
        print(f"{count} entries of r2plus1d_18 written to {args.out}")
        return
    summary = convert_checkpoint(args.checkpoint, args.out, args.format)
    for part, count in summary.pop("num_keys").items():
        print(f"{part}: {count} entries")
    for key, value in summary.items():
        print(f"{key}: {value}")
    print(f"written to {args.out}")


if __name__ == "__main__":
    main(ARGS)
