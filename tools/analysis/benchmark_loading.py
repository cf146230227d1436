"""Loading speed of one core on real videos: picture and sound here, picture alone in MMAction2.

Every candidate loads one second (32 pictures at 30 fps, shorter side 144, random crop 128) from the
same files at the same random starts, in turns, on one core. `ours` also reads the second of sound
and turns it into a log-mel spectrogram. The floor is what no reader can go below: decoding just the
32 pictures, as if a key frame were the first of them, without opening the file or converting
colours. `from key frame` is what a reader of these files cannot avoid: opening, seeking to the key
frame before the start (Kinetics has one every 250 frames) and decoding up to the last picture,
unreferenced ones skipped on the way, still without conversion or sound.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import cv2
import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

import cmac_mm

CLIP_LEN, FPS, DURATION, SHORT_SIDE, CROP = 32, 30, 1.0, 144, 128
DEFAULT_VIDEOS = Path(__file__).resolve().parents[2] / "../shared/media/torchvision_videos"

Loader = Callable[[str, float], None]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--videos", type=Path, default=DEFAULT_VIDEOS, help="folder of videos with sound (*.mp4)"
    )
    parser.add_argument("--starts", type=int, default=30, help="random starts a file (30)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the starts (0)")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    return parser.parse_args()


def ours(with_sound: bool) -> Loader:
    """This project's pipeline, at a given start."""
    pipeline = Compose(
        [
            dict(type="DecodeAudioVisual", fps=FPS, clip_len=CLIP_LEN, short_side=SHORT_SIDE),
            dict(type="RandomCrop", size=CROP),
            *([dict(type="LogMelSpectrogram")] if with_sound else []),
            dict(type="PackAudioVisual"),
        ]
    )
    opening = Compose([dict(type="OpenAudioVisual", need_audio=with_sound)])

    def load(path: str, start: float) -> None:
        results = opening(dict(filename=path))
        results.update(clip_start=[start], audio_start=[start])
        results.update(clip_duration=DURATION, audio_duration=DURATION)
        pipeline(results)

    return load


def mmaction2(backend: str) -> Loader:
    """MMAction2's pipeline with one of its decoders, at a given start."""
    opening = Compose(
        [
            dict(type=f"{backend}Init"),
            dict(type="SampleFrames", clip_len=CLIP_LEN, frame_interval=1, num_clips=1),
        ]
    )
    pipeline = Compose(
        [
            dict(type=f"{backend}Decode"),
            dict(type="Resize", scale=(-1, SHORT_SIDE)),
            dict(type="RandomCrop", size=CROP),
            dict(type="FormatShape", input_format="NCTHW"),
            dict(type="PackActionInputs"),
        ]
    )

    def load(path: str, start: float) -> None:
        info = dict(filename=path, label=0, start_index=0, modality="RGB")
        results = opening(info)
        first = round(start * FPS)
        last = results["total_frames"] - 1
        results["frame_inds"] = np.minimum(first + np.arange(CLIP_LEN), last)
        pipeline(results)

    return load


def from_key_frame(path: str, start: float) -> None:
    """Open, seek and decode up to the last picture; nothing else."""
    end = start + CLIP_LEN / FPS
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        container.seek(int(start / stream.time_base), stream=stream)
        for packet in container.demux(stream):
            wanted = packet.pts is not None and packet.pts * stream.time_base >= start
            stream.codec_context.skip_frame = "DEFAULT" if wanted else "NONREF"
            if any(frame.time >= end for frame in packet.decode()):
                break


def floor_seconds(path: str, start: float) -> float:
    """Time of decoding the wanted pictures alone."""
    end = start + CLIP_LEN / FPS
    spent = 0.0
    with av.open(path, metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        container.seek(int(start / stream.time_base), stream=stream)
        for packet in container.demux(stream):
            begin = time.perf_counter()
            packet.decode()
            if packet.dts is None or packet.dts * stream.time_base >= end:
                break
            if packet.dts * stream.time_base >= start:
                spent += time.perf_counter() - begin
    return spent


def timed(loader: Loader) -> Callable[[str, float], float]:
    """The loader's seconds for one clip."""

    def measure(path: str, start: float) -> float:
        begin = time.perf_counter()
        loader(path, start)
        return time.perf_counter() - begin

    return measure


def decord_installed() -> bool:
    """Whether decord is there; it has no wheels beyond x86-64."""
    try:
        import decord  # noqa: F401
    except ImportError:
        return False
    return True


def use_one_core() -> None:
    """Keep this process, and every library's threads, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def run(files: list[str], starts: int, seed: int) -> dict[str, list[float]]:
    """Milliseconds of every candidate for every clip."""
    candidates = {
        "ours, picture and sound": timed(ours(with_sound=True)),
        "ours, picture alone": timed(ours(with_sound=False)),
        "MMAction2 with PyAV, picture alone": timed(mmaction2("PyAV")),
        "from key frame": timed(from_key_frame),
        "floor: the 32 pictures alone": floor_seconds,
    }
    if decord_installed():
        candidates["MMAction2 with decord, picture alone"] = timed(mmaction2("Decord"))
    else:
        print("decord is not installed: left out", file=sys.stderr)
    lengths = {}
    for path in files:
        with av.open(path, metadata_errors="ignore") as container:
            lengths[path] = container.duration / av.time_base
        for measure in candidates.values():
            measure(path, 0.5)
    rng = np.random.default_rng(seed)
    clips = [
        (path, rng.uniform(0, lengths[path] - CLIP_LEN / FPS - 0.1))
        for _ in range(starts)
        for path in files
    ]
    spent: dict[str, list[float]] = {name: [] for name in candidates}
    for number, (path, start) in enumerate(clips):
        names = list(candidates)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            spent[name].append(1e3 * candidates[name](path, start))
    return spent


def main() -> None:
    """Measure and print."""
    args = parse_args()
    files = sorted(str(path) for path in args.videos.glob("*.mp4"))
    if not files:
        raise SystemExit(f"no *.mp4 in {args.videos}; name a folder with --videos")
    use_one_core()
    init_default_scope("mmaction")
    av.logging.set_level(av.logging.PANIC)
    spent = run(files, args.starts, args.seed)
    summary = {
        name: dict(median=statistics.median(times), mean=statistics.mean(times))
        for name, times in spent.items()
    }
    peers = [name for name in summary if name.startswith("MMAction2")]
    fastest = min(peers, key=lambda name: summary[name]["mean"])
    count = len(next(iter(spent.values())))
    print(
        f"{len(files)} files, {count} clips each; one core of {platform.processor() or 'the CPU'}"
    )
    print(
        f"cmac_mm {cmac_mm.__version__}, PyAV {av.__version__}, Python {platform.python_version()}"
    )
    print(f"{'':38}{'median ms':>10}{'mean ms':>10}{'mean / fastest MMAction2':>26}")
    for name, row in sorted(summary.items(), key=lambda item: item[1]["mean"]):
        row["ratio"] = row["mean"] / summary[fastest]["mean"]
        print(f"{name:38}{row['median']:10.1f}{row['mean']:10.1f}{row['ratio']:26.2f}")
    if args.json:
        temporary = args.json.with_suffix(".tmp")
        temporary.write_text(json.dumps(dict(summary=summary, milliseconds=spent), indent=1))
        temporary.replace(args.json)


if __name__ == "__main__":
    main()
