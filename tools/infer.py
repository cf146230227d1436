"""Features, attention and pictures of any videos.

    python tools/infer.py video.mp4 --pictures --overlays
    python tools/infer.py FOLDER 'clips/*.mkv' https://HOST/video.mp4 --save npz parquet

An input is a file, a folder (all media files in it), a pattern or an http address. The model is a
released one by its name, or a config with a checkpoint. Without --model it is cmac-demo, which
is in the package, needs no network, and has seen drawn shapes only: on real videos it shows how
things work, not what CMAC can do.

OUT/NAME.npz holds all that the model says of a video clip by clip: features, embeddings, attention
maps, similarity of picture and sound over time, class scores. OUT/NAME.png shows frames with guided
and predicted attention beside the spectrogram with its maps; OUT/NAME_attention.mp4 the same in
motion, with sound. Videos that cannot be used are listed in OUT/failed.txt; the exit status is 1
then. The same command goes on after an interruption: it passes over videos whose files are
complete, by the same model and settings (OUT/done.jsonl); --overwrite makes all files anew.
"""

import argparse
import json
import sys
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", help="videos: files, folders, patterns, addresses")
    parser.add_argument(
        "--model", default="cmac-demo", help="name of a released model, or a config (cmac-demo)"
    )
    parser.add_argument("--weights", type=Path, help="checkpoint that goes with a config")
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/infer"), help="folder (work_dirs/infer)"
    )
    parser.add_argument(
        "--save",
        nargs="*",
        choices=["npz", "json", "parquet"],
        default=["npz"],
        help="files of results, none if nothing follows (npz)",
    )
    parser.add_argument("--pictures", action="store_true", help="draw a picture of each video")
    parser.add_argument("--overlays", action="store_true", help="write an mp4 of each video")
    parser.add_argument(
        "--attention",
        choices=["guided", "predicted"],
        default="guided",
        help="which one overlays show (guided)",
    )
    parser.add_argument(
        "--stride",
        type=float,
        help="from clip to clip, seconds (the length of a clip; a quarter of it for pictures)",
    )
    parser.add_argument(
        "--view",
        choices=["crop", "whole"],
        help="what the network sees: the crop in the middle, as in evaluations, or the whole "
        "picture (crop; whole for pictures)",
    )
    parser.add_argument("--stages", action="store_true", help="also features of all stages")
    parser.add_argument("--labels", type=Path, help="names of the classes, one a line")
    parser.add_argument("--batch-size", type=int, default=16, help="clips at a time (16)")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode (0: one)")
    parser.add_argument("--overwrite", action="store_true", help="also make complete files anew")
    parser.add_argument("--device", help="where the model runs, cpu or cuda (what is there)")
    args = parser.parse_args()
    if args.batch_size < 1 or args.workers < 0:
        parser.error("--batch-size must be positive, --workers not negative")
    if args.stride is not None and args.stride <= 0:
        parser.error("--stride must be positive")
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.apis import AudioVisualInferencer, expand_paths, made_by
from cmac_mm.features import ResultFolder, VideoResult
from cmac_mm.utils import write_text


def describe(result: VideoResult) -> str:
    """A line on a video."""
    parts = [f"{result.source}: {result.duration:.2f} s, {len(result.starts)} clips"]
    if len(result.clip_seconds) == 1:
        parts.append(f"{next(iter(result.clip_seconds))} alone")
    if "similarity" in result.fields:
        parts.append(f"picture and sound {result.whole('similarity'):+.2f}")
    if "scores" in result.fields:
        parts += [f"{name} {score:.2f}" for name, score in result.best_classes(3)]
    return ", ".join(parts)


def main(args: argparse.Namespace) -> None:
    """Run as the command line says."""
    draws = args.pictures or args.overlays
    inferencer = AudioVisualInferencer(
        args.model,
        args.weights,
        args.device,
        args.batch_size,
        whole_picture=(args.view or ("whole" if draws else "crop")) == "whole",
        stages=args.stages,
        labels=args.labels,
    )
    if inferencer.note:
        print(inferencer.note, file=sys.stderr)
    stride = args.stride or (inferencer.clip_seconds / 4 if draws else None)
    settings = [made_by(inferencer, stride), args.stages, inferencer.classes, args.attention]
    folder = ResultFolder(args.out, json.dumps(settings))
    asked = [*args.save, *(what for what in ("pictures", "overlays") if getattr(args, what))]
    sources = expand_paths(args.inputs, inferencer.modalities)
    todo = [name for name in sources if args.overwrite or not folder.has(name, asked)]
    if len(todo) < len(sources):
        print(f"{len(sources) - len(todo)} of {len(sources)} videos are complete: {args.out}")
    failed = []
    for result in inferencer.stream(todo, stride, args.workers):
        if not result.problem:
            try:
                files = write(inferencer, result, folder.path(result.source), args)
                folder.add(result.source, asked, files)
                print(describe(result))
            except ValueError as error:
                result.problem = str(error)
                print(f"left out: {error}", file=sys.stderr)
        if result.problem:
            failed.append(f"{result.source}: {result.problem}\n")
    write_text(args.out / "failed.txt", "".join(failed))
    print(f"{len(sources) - len(failed)} of {len(sources)} videos: {args.out}")
    if failed:
        sys.exit(
            f"{len(failed)} of {len(sources)} videos cannot be used, see {args.out / 'failed.txt'}"
        )


def write(
    inferencer: AudioVisualInferencer, result: VideoResult, path: Path, args: argparse.Namespace
) -> list[Path]:
    """Write what is asked for of a video, and tell the files."""
    files = []
    for kind in args.save:
        files.append(path.with_name(f"{path.name}.{kind}"))
        getattr(result, f"save_{kind}")(files[-1])
    if args.pictures:
        files.append(path.with_name(f"{path.name}.png"))
        inferencer.picture(result, files[-1])
    if args.overlays and "visual" in result.clip_seconds:
        files.append(path.with_name(f"{path.name}_attention.mp4"))
        inferencer.overlay(result, files[-1], kind=args.attention)
    return files


if __name__ == "__main__":
    main(ARGS)
