"""Search media files by sound or by picture.

    python tools/search.py index FOLDER
    python tools/search.py query FILE
    python tools/search.py query FILE --by audio --find audio

`index` runs a model over all media files in a folder, clip by clip, and keeps what it says of them
in --index. Run it again after files came, changed or went: only these are computed. `query` gives
the files that go with a file: by default the sounds that go with the picture of a video, and the
pictures that go with the sound of a sound file. It prints them, and writes a page with pictures and
playable sound that needs no network. An index is of one model, and refuses every other.
Without --model it is cmac-demo, which is in the package and has seen drawn shapes only: on real
files it shows how things work, not what CMAC can do.
"""

import argparse
import sys
from pathlib import Path

MODALITIES = {"audio": "audio", "video": "visual"}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    index = commands.add_parser("index", help="bring the index up to date with a folder")
    index.add_argument("folder", type=Path, help="folder of media files")
    index.add_argument("--stride", type=float, help="from clip to clip, seconds (a clip's length)")
    index.add_argument("--workers", type=int, default=0, help="processes that decode (0: one)")
    query = commands.add_parser("query", help="find the files that go with a file")
    query.add_argument("file", type=Path, help="video or sound to search with")
    query.add_argument(
        "--by", choices=list(MODALITIES), help="what of it counts (the picture where it has one)"
    )
    query.add_argument(
        "--find", choices=list(MODALITIES), help="what is searched (the other one of the two)"
    )
    query.add_argument("--count", type=int, default=10, help="files to find (10)")
    query.add_argument("--page", type=Path, help="page to write (INDEX/NAME_OF_FILE.html)")
    for command in (index, query):
        command.add_argument(
            "--index",
            type=Path,
            default=Path("work_dirs/search"),
            help="folder of the index (work_dirs/search)",
        )
        command.add_argument(
            "--model",
            help="a released model's name, or a config (index: cmac-demo, which has seen drawn "
            "shapes only; query: the one that made the index)",
        )
        command.add_argument("--weights", help="checkpoint that goes with a config")
        command.add_argument("--device", help="where the model runs, cpu or cuda (what is there)")
        command.add_argument("--batch-size", type=int, default=16, help="clips at a time (16)")
    index.set_defaults(model="cmac-demo")
    args = parser.parse_args()
    if args.batch_size < 1 or getattr(args, "count", 1) < 1 or getattr(args, "workers", 0) < 0:
        parser.error("--batch-size and --count must be positive, --workers not negative")
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.apis import AudioVisualInferencer, index_folder, made_by, search_file
from cmac_mm.features import SearchIndex
from cmac_mm.visualization import write_search_page


def load_model(model: str, weights: str | None, args: argparse.Namespace) -> AudioVisualInferencer:
    """Load a model, and say what must be said of it."""
    inferencer = AudioVisualInferencer(model, weights, args.device, args.batch_size)
    if inferencer.note:
        print(inferencer.note, file=sys.stderr)
    return inferencer


def make_index(args: argparse.Namespace) -> None:
    """Bring the index up to date."""
    inferencer = load_model(args.model, args.weights, args)
    about = made_by(inferencer, args.stride)
    # What a query needs to build the model again.
    for name in ("model", "weights"):
        value = getattr(args, name)
        if value is not None and Path(value).is_file():
            value = str(Path(value).resolve())
        about[f"{name}_given"] = value or ""
    with SearchIndex(args.index, about) as index:
        if args.stride is not None and index.made_by["stride"] != about["stride"]:
            raise ValueError(
                f"--stride {args.stride:g}: the clips of {args.index} are "
                f"{index.made_by['stride']} s apart; make another index"
            )
        changes = index_folder(inferencer, args.folder, index, args.workers)
        for path, problem in sorted(changes.failed.items()):
            print(f"not in the index: {path}: {problem}")
        print(
            f"{changes.new} new files, {changes.changed} changed, {changes.deleted} deleted, "
            f"{changes.unchanged} as before; {len(changes.failed)} cannot be used"
        )
        print(f"{args.index}: {len(index)} clips, by {index.made_by['model']}")


def ask(args: argparse.Namespace) -> None:
    """Search, print and write the page."""
    with SearchIndex(args.index) as index:
        given = index.made_by
        model = args.model or given["model_given"]
        weights = args.weights if args.model else given["weights_given"] or None
        inferencer = load_model(model, weights, args)
        by, find = (MODALITIES.get(value) for value in (args.by, args.find))
        hits = search_file(inferencer, index, args.file, by, find, args.count)
    for rank, hit in enumerate(hits, start=1):
        print(f"{rank:3}  {hit.similarity:6.3f}  {hit.start:8.1f} s  {hit.path}")
    page = args.page or args.index / f"{args.file.stem}.html"
    title = f"{args.file.name}: what {inferencer.name} finds with it"
    write_search_page(page, title, str(args.file), hits, inferencer.note)
    print(f"written: {page}")


def main(args: argparse.Namespace) -> None:
    """Run as the command line says."""
    make_index(args) if args.command == "index" else ask(args)


if __name__ == "__main__":
    main(ARGS)
