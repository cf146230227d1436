"""Write the encoders of a model as files that run without this project.

    python tools/export.py CONFIG CHECKPOINT --out FOLDER
    python tools/export.py RELEASED_NAME --out FOLDER

FOLDER gets visual.onnx and audio.onnx, which onnxruntime runs, and visual.pt2 and audio.pt2 for
torch.export.load; any number of clips at a time. export.json says what goes in (pictures as bytes,
or a log-mel spectrogram; normalisation is inside) and comes out (feature and embedding). Each file
is run and compared with the model before it gets its name.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a config, or the name of a released model")
    parser.add_argument("checkpoint", nargs="?", help="checkpoint that goes with a config")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--formats", nargs="+", choices=["torch", "onnx"], default=["torch", "onnx"], help="(both)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.apis import export_encoders, get_model, init_model, list_models


def main(args: argparse.Namespace) -> None:
    """Export as the command line says."""
    if args.checkpoint is None and args.model in list_models():
        model = get_model(args.model)
    elif args.checkpoint is None:
        raise ValueError(
            f"{args.model} is no released model: expected a config and its checkpoint, or one of "
            f"{', '.join(list_models())}"
        )
    else:
        model = init_model(args.model, args.checkpoint)
    for name, differences in export_encoders(model, args.out, args.formats).items():
        text = ", ".join(f"{output} {value:.1e}" for output, value in differences.items())
        size = (args.out / name).stat().st_size / 2**20
        print(f"{args.out / name}: {size:.1f} MiB; differs from the model by {text}")
    print(f"written: {args.out / 'export.json'}")


if __name__ == "__main__":
    main(ARGS)
