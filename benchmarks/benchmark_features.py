"""Speed of loading all test clips of a video: one open file and one pass, or clip by clip.

Feature extraction reads 10 uniform clips of each video (32 pictures at 30 fps, shorter side 144,
centre crop 128). Here each file's clips are loaded both ways, in turns, on one core: by one
pipeline that opens the file once and decodes all clips in one pass, and by one that opens, decodes
and closes the file for each clip. Both give the same pictures, which is checked. Also printed:
what decoding the whole file once takes, without any conversion.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import cv2
import torch
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

import cmac_mm
from cmac_mm.datasets import MediaFile

CLIP_LEN, FPS, SHORT_SIDE, CROP = 32, 30, 144, 128
DEFAULT_VIDEOS = Path(__file__).resolve().parents[1] / "../shared/media/ucf101_mini"
ENDINGS = {".avi", ".mp4", ".mkv", ".webm"}
ONE_PASS, CLIP_BY_CLIP = "one open file, one pass", "each clip by itself"
OPENING = dict(type="OpenAudioVisual", need_audio=False)
STEPS = [
    dict(type="DecodeAudioVisual", fps=FPS, clip_len=CLIP_LEN, short_side=SHORT_SIDE),
    dict(type="CenterCrop", crop_size=CROP),
    dict(type="PackAudioVisual"),
]

Loader = Callable[[str], torch.Tensor]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--videos", type=Path, default=DEFAULT_VIDEOS, help="folder with videos, at any depth"
    )
    parser.add_argument("--max-videos", type=int, default=60, help="files to use (60)")
    parser.add_argument("--clips", type=int, default=10, help="clips a video (10)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="runs of each side, of which the fastest counts (3)"
    )
    return parser.parse_args()


def one_pass(clips: int) -> Loader:
    """The pipeline of the test configs."""
    sample = dict(type="SampleClips", duration=CLIP_LEN / FPS, num_clips=clips, mode="uniform")
    pipeline = Compose([OPENING, sample, *STEPS])
    return lambda path: pipeline(dict(filename=path))["inputs"]["imgs"]


def clip_by_clip(clips: int) -> Loader:
    """The same clips, the file opened anew for each."""
    sample = dict(type="SampleClips", duration=CLIP_LEN / FPS, num_clips=clips, mode="uniform")
    draw, opening, decoding = Compose([OPENING, sample]), Compose([OPENING]), Compose(STEPS)

    def load(path: str) -> torch.Tensor:
        drawn = draw(dict(filename=path))
        drawn.pop("media").close()
        imgs = []
        for start in drawn["clip_start"]:
            results = {**drawn, **opening(dict(filename=path))}
            results.update(clip_start=[start], audio_start=[start])
            imgs.append(decoding(results)["inputs"]["imgs"])
        return torch.stack(imgs)

    return load


def mmaction2(backend: str, clips: int) -> Loader:
    """MMAction2's test pipeline: the same number of clips and pictures, at the file's own rate."""
    pipeline = Compose(
        [
            dict(type=f"{backend}Init"),
            dict(type="SampleFrames", clip_len=CLIP_LEN, num_clips=clips, test_mode=True),
            dict(type=f"{backend}Decode"),
            dict(type="Resize", scale=(-1, SHORT_SIDE)),
            dict(type="CenterCrop", crop_size=CROP),
            dict(type="FormatShape", input_format="NCTHW"),
            dict(type="PackActionInputs"),
        ]
    )
    info = dict(label=0, start_index=0, modality="RGB")
    return lambda path: pipeline(dict(filename=path, **info))["inputs"]


def decode_once(path: str) -> None:
    """Decode all pictures of a file, without conversion."""
    with av.open(path, metadata_errors="ignore") as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            pass


def time_in_turns(
    sides: dict[str, Callable[[str], object]], files: list[str], repeats: int
) -> dict[str, list[float]]:
    """Seconds of each side for each file, the fastest of some runs, the sides in turns."""
    fastest = {name: [float("inf")] * len(files) for name in sides}
    for _ in range(repeats):
        for number, path in enumerate(files):
            for name, run in sides.items():
                start = time.perf_counter()
                run(path)
                spent = time.perf_counter() - start
                fastest[name][number] = min(fastest[name][number], spent)
    return fastest


def main() -> None:
    """Measure and print."""
    args = parse_args()
    files = sorted(str(path) for path in args.videos.rglob("*") if path.suffix in ENDINGS)
    files = files[:: max(1, len(files) // args.max_videos)][: args.max_videos]
    if not files:
        raise SystemExit(f"no {', '.join(sorted(ENDINGS))} in {args.videos}; name another --videos")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    av.logging.set_level(av.logging.PANIC)
    init_default_scope("mmaction")
    ours, separate = one_pass(args.clips), clip_by_clip(args.clips)
    sides: dict[str, Callable[[str], object]] = {
        ONE_PASS: ours,
        CLIP_BY_CLIP: separate,
        "MMAction2 with PyAV": mmaction2("PyAV", args.clips),
        "decoding the file once, no conversion": decode_once,
    }
    if importlib.util.find_spec("decord"):
        sides["MMAction2 with decord"] = mmaction2("Decord", args.clips)
    for path in files:
        if not torch.equal(ours(path), separate(path)):
            raise RuntimeError(f"{path}: one pass and clip by clip gave different pictures")
    seconds = time_in_turns(sides, files, args.repeats)

    lengths = [MediaFile(path, need_audio=False).duration for path in files]
    print(
        f"{len(files)} files of {min(lengths):.1f} to {max(lengths):.1f} s, {args.clips} clips of "
        f"{CLIP_LEN} pictures each, one core"
    )
    print(f"cmac_mm {cmac_mm.__version__}, PyAV {av.__version__}")
    print(f"{'':40}{'ms a video':>12}{'clips / s':>12}{'times clip by clip':>20}")
    base = sum(seconds[CLIP_BY_CLIP])
    for name, times in sorted(seconds.items(), key=lambda item: sum(item[1])):
        total = sum(times)
        rate = f"{args.clips * len(files) / total:.0f}"
        print(f"{name:40}{1e3 * total / len(files):12.1f}{rate:>12}{base / total:20.2f}")
    ratios = [b / a for a, b in zip(seconds[ONE_PASS], seconds[CLIP_BY_CLIP], strict=True)]
    print(
        f"one pass against clip by clip, by file: lowest {min(ratios):.2f}, median "
        f"{statistics.median(ratios):.2f}, highest {max(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
