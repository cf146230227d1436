"""Clip features of untrimmed videos for temporal localisers.

    python tools/extract_clip_features.py CONFIG CHECKPOINT LIST_OR_FOLDER --out DIR

Slides the clip of the config's test pipeline over each video and writes what the encoder says:

    --layout csv   DIR/csv_mean_100/NAME.csv: 100 rows a video, for MMAction2's BMN and others that
                   read ActivityNet's features rescaled
    --layout npy   DIR/npy/NAME.npy: a row a clip, (T, C); their times are in DIR/info/NAME.json
    --layout h5    the same, and from them DIR/{rgb,flow}_{val,test}.h5: a row a frame, as G-TAD
                   reads THUMOS14

DIR/videos.json tells length and frame rate of all videos, for the localiser's annotations. Videos
that are done are skipped, so an interrupted run is completed by the same command; one that has been
replaced since is done again. Those that cannot be read are listed in DIR/failed.txt; the exit
status is 1 then.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config of the encoder and its clips, or cmac_mm::NAME")
    parser.add_argument("checkpoint", type=Path, help="its weights")
    parser.add_argument("source", type=Path, help="list of videos (a path a line), or a folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the features")
    parser.add_argument(
        "--prefix", type=Path, help="folder that paths in a list are relative to (none)"
    )
    parser.add_argument(
        "--modality",
        nargs="+",
        choices=["visual", "audio"],
        default=["visual"],
        help="encoders; the features of two stand side by side (visual)",
    )
    parser.add_argument(
        "--encoder-prefix",
        help="what the encoder's keys in the checkpoint start with, '' for a plain state dict "
        "(default: visual_backbone. or audio_backbone., as pretraining writes them)",
    )
    stride = parser.add_mutually_exclusive_group()
    stride.add_argument(
        "--stride-frames", type=int, help="from clip to clip, in frames of the video's own (16)"
    )
    stride.add_argument("--stride", type=float, help="from clip to clip, in seconds")
    parser.add_argument("--layout", choices=["csv", "npy", "h5"], default="csv", help="(csv)")
    parser.add_argument("--rows", type=int, default=100, help="rows a video, of --layout csv (100)")
    parser.add_argument("--batch-size", type=int, default=16, help="clips at a time (16)")
    parser.add_argument("--workers", type=int, help="processes that decode (one a core)")
    parser.add_argument(
        "--by-content",
        action="store_true",
        help="tell replaced videos by their content, which reads them all, and not by size and "
        "time of change",
    )
    parser.add_argument("--device", help="where the encoder runs, cpu or cuda (what is there)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="set variables or override fields of the config",
    )
    args = parser.parse_args()
    for name in ("stride_frames", "stride", "rows", "batch_size"):
        value = getattr(args, name)
        if value is not None and value <= 0:
            parser.error(f"--{name.replace('_', '-')} must be positive")
    if args.encoder_prefix is not None and len(args.modality) > 1:
        parser.error("--encoder-prefix names one encoder: give one --modality")
    if args.stride is None and args.stride_frames is None:
        args.stride_frames = 16
    args.modality = sorted(set(args.modality), reverse=True)  # visual first
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

import torch
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import cmac_mm  # noqa: F401
from cmac_mm.features import (
    ClipFeatures,
    ClipStream,
    build_encoder,
    encode_clips,
    find_test_pipeline,
    rescale_features,
    stream_features,
    thumos_part,
    write_csv,
    write_thumos_h5,
)
from cmac_mm.features.cache import named_files
from cmac_mm.features.media_stamps import file_digest, media_stamps
from cmac_mm.preparation.listing import read_entries
from cmac_mm.utils import default_workers, load_config, read_array, read_json, write_npy, write_text
from cmac_mm.version import FRONT_END_VERSION, __version__


def find_videos(args: argparse.Namespace) -> dict[str, str]:
    """Paths by name, which is the file's without its suffix."""
    videos: dict[str, str] = {}
    for entry in read_entries(args.source, args.prefix):
        name = entry.path.stem
        if videos.get(name, str(entry.path)) != str(entry.path):
            raise ValueError(
                f"{args.source}: {videos[name]} and {entry.path} would both be written as {name}: "
                "expected names of their own"
            )
        if args.layout == "h5":
            thumos_part(name)
        videos[name] = str(entry.path)
    return videos


def check_settings(cfg: Config, args: argparse.Namespace) -> str:
    """What the folder's features are made with, as text; refuses to mix them with others."""
    if not args.checkpoint.is_file():
        raise FileNotFoundError(f"checkpoint {args.checkpoint} does not exist")
    if args.out.exists() and not args.out.is_dir():
        raise ValueError(f"--out: {args.out} is a file, expected a folder")
    pipeline = [dict(step) for step in find_test_pipeline(cfg)]
    settings = dict(
        checkpoint=file_digest(args.checkpoint).hex(),
        package=__version__,
        front_end=FRONT_END_VERSION,
        videos="content" if args.by_content else "size and time",
        model=cfg.model.to_dict(),
        pipeline=pipeline,
        named_files=named_files(pipeline),
        modality=args.modality,
        prefix=args.encoder_prefix,
        stride=args.stride,
        stride_frames=args.stride_frames,
        layout="csv" if args.layout == "csv" else "npy",
        rows=args.rows if args.layout == "csv" else None,
    )
    text = json.dumps(settings, indent=1, default=str, sort_keys=True) + "\n"
    path = args.out / "settings.json"
    if not path.exists():
        return text
    known = read_json(path)
    if not isinstance(known, dict):
        raise ValueError(f"{path}: expected an object with the settings, found {known!r}")
    changed = [key for key, value in json.loads(text).items() if known.get(key) != value]
    if changed:
        raise ValueError(
            f"{args.out} holds features of other settings (they differ in {', '.join(changed)}): "
            "expected another --out"
        )
    return text


def feature_path(name: str, args: argparse.Namespace) -> Path:
    """Where a video's features are."""
    if args.layout == "csv":
        return args.out / f"csv_mean_{args.rows}" / f"{name}.csv"
    return args.out / "npy" / f"{name}.npy"


def info_path(name: str, args: argparse.Namespace) -> Path:
    """Where a video's length, frame rate and clips are."""
    return args.out / "info" / f"{name}.json"


def discard_old(videos: dict[str, str], stamps: dict[str, int], args: argparse.Namespace) -> None:
    """Remove features of videos that were replaced since, and those that are damaged."""
    for name in videos:
        path, info = feature_path(name, args), info_path(name, args)
        if not path.exists():
            continue
        try:
            known = read_json(info)["stamp"]
            if path.suffix == ".npy":
                read_array(path, "r")
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            print(f"computed again: {name}: {error}", file=sys.stderr)
        else:
            if known == stamps[name]:
                continue
            print(f"computed again: {videos[name]} was replaced", file=sys.stderr)
        path.unlink()


def write_features(name: str, found: ClipFeatures, stamp: int, args: argparse.Namespace) -> None:
    """Write a video's files, its features last: they say that it is done."""
    info, path = {**found.info, "stamp": stamp}, feature_path(name, args)
    write_text(info_path(name, args), json.dumps(info) + "\n")
    if args.layout == "csv":
        rows = rescale_features(
            found.features["feature"], info["times"], info["duration_second"], args.rows
        )
        write_csv(path, rows)
    else:
        write_npy(path, found.features["feature"])


def extract(
    cfg: Config,
    videos: dict[str, str],
    stamps: dict[str, int],
    settings: str,
    args: argparse.Namespace,
) -> dict[str, str]:
    """Write the features of all videos; returns what was wrong with the others."""
    encoders = {
        modality: build_encoder(cfg, args.checkpoint, modality, args.encoder_prefix).to(args.device)
        for modality in args.modality
    }
    names, failed = list(videos), {}
    stream = ClipStream(
        list(videos.values()),
        find_test_pipeline(cfg),
        args.modality,
        args.stride,
        args.stride_frames,
        args.batch_size,
    )
    # Only now, so that a wrong checkpoint or stride leaves no trace.
    write_text(args.out / "settings.json", settings)
    columns = (
        TextColumn("{task.completed:.1f} of {task.total} videos"),
        BarColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task("", total=len(videos))
        workers = min(args.workers, len(videos))
        encode = partial(encode_clips, encoders)
        for found in stream_features(encode, stream, workers, lambda x: bar.advance(task, x)):
            name = names[found.video]
            if found.problem:
                failed[name] = found.problem
            else:
                write_features(name, found, stamps[name], args)
    return failed


def main(args: argparse.Namespace) -> None:
    """Run as the command line says."""
    args.workers = default_workers() if args.workers is None else args.workers
    args.device = args.device or get_device()
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get("default_scope", "mmaction"))
    torch.backends.cudnn.deterministic = True
    videos = find_videos(args)
    settings = check_settings(cfg, args)
    found = media_stamps(list(videos.values()), args.by_content).tolist()
    stamps = dict(zip(videos, found, strict=True))
    discard_old(videos, stamps, args)
    todo = {name: path for name, path in videos.items() if not feature_path(name, args).exists()}
    failed = extract(cfg, todo, stamps, settings, args) if todo else {}
    done = {name: feature_path(name, args) for name in videos if name not in failed}
    infos = {name: read_json(info_path(name, args)) for name in done}
    if args.layout == "h5":
        write_thumos_h5(args.out, {name: (path, infos[name]) for name, path in done.items()})
    table = {name: dict(info, num_clips=len(info.pop("times"))) for name, info in infos.items()}
    for info in table.values():
        del info["stamp"]
    write_text(args.out / "videos.json", json.dumps(table, indent=1) + "\n")
    lines = [f"{videos[name]}: {problem}\n" for name, problem in failed.items()]
    write_text(args.out / "failed.txt", "".join(lines))
    print(f"{len(done)} videos, {len(videos) - len(todo)} of them done before: {args.out}")
    if failed:
        print("".join(lines), end="", file=sys.stderr)
        sys.exit(f"{len(failed)} of {len(videos)} videos cannot be read, see failed.txt")


if __name__ == "__main__":
    main(ARGS)
