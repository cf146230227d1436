"""Loading speed of one core on real videos: picture and sound here, and in the peers.

Every candidate delivers the same second of the same files, as downloaded and as prepared by
tools/data/prepare_videos.py, at the same random starts, in turns, on one core: 32 pictures at 30
fps (shorter side 144, random crop 128) and a log-mel spectrogram with 257 filters of the sound at
24 kHz. `bare` opens the file, seeks and decodes the wanted frames and samples, and does nothing
else. `floor` is the decoding of just the wanted frames and samples, as if a key frame stood before
them, without opening and seeking. Compare processor time where others use the machine, too.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import cv2
import loading_candidates as candidates
import numpy as np
import torch
from loading_stages import measure_loader, measure_stages
from mmengine.registry import init_default_scope

import cmac_mm
from cmac_mm.preparation import EncodeSettings, encode_video
from cmac_mm.utils import write_text

MEDIA = Path(__file__).resolve().parents[1] / "../shared/media"
OURS, BARE, FLOOR = "ours", "bare", "floor"


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--videos",
        type=Path,
        nargs="+",
        default=[MEDIA / "kinetics", MEDIA / "torchvision_videos"],
        help="folders of videos with sound, *.mp4 (the Kinetics clips beside the checkout)",
    )
    parser.add_argument("--starts", type=int, default=20, help="random starts a file (20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the starts (0)")
    parser.add_argument(
        "--workers",
        type=int,
        nargs="*",
        default=[],
        metavar="N",
        help="also run a DataLoader with each of these numbers of workers, e.g. 1 2 (none)",
    )
    parser.add_argument("--batches", type=int, default=40, help="batches of 16 a DataLoader (40)")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    return parser.parse_args()


def all_candidates() -> dict[str, Callable[[str, float], candidates.Spent]]:
    """What can run here, by name."""
    found = {
        OURS: candidates.timed(candidates.ours()),
        "MMAction2, PyAV + librosa": candidates.timed(candidates.mmaction2("PyAV")),
        "PyAV from the start + librosa": candidates.timed(candidates.plain_pyav),
        BARE: candidates.bare,
        FLOOR: candidates.floor,
    }
    # Decord has no wheels beyond x86-64; TorchCodec needs FFmpeg's libraries.
    for module, name, make in (
        ("decord", "MMAction2, decord + librosa", lambda: candidates.mmaction2("Decord")),
        ("torchcodec.decoders", "TorchCodec + torchaudio", candidates.torchcodec),
    ):
        try:
            importlib.import_module(module)
        except (ImportError, RuntimeError, OSError) as error:
            reason = str(error).strip().splitlines()[0]
            print(f"left out: {name} ({type(error).__name__}: {reason})", file=sys.stderr)
            continue
        found[name] = candidates.timed(make())
    return found


def use_one_core() -> None:
    """Keep this process, and every library's threads, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def draw_clips(files: list[str], starts: int, seed: int) -> list[tuple[int, float]]:
    """Random (number of the file, start in seconds)."""
    rng = np.random.default_rng(seed)
    clips = []
    for number, path in enumerate(files):
        with av.open(path, metadata_errors="ignore") as container:
            last = container.duration / av.time_base - candidates.CLIP_LEN / candidates.FPS - 0.2
        clips += [(number, start) for start in rng.uniform(0, last, starts).tolist()]
    return clips


def measure(
    sets: dict[str, list[str]], clips: list[tuple[int, float]]
) -> dict[str, dict[str, list[candidates.Spent]]]:
    """Time of every candidate for every clip of every set of files."""
    loaders = all_candidates()
    for files in sets.values():
        for load in loaders.values():
            load(files[0], 0.5)
    spent = {kind: {name: [] for name in loaders} for kind in sets}
    for turn, (number, start) in enumerate(clips):
        names = list(loaders)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            for kind, files in sets.items():
                spent[kind][name].append(loaders[name](files[number], start))
    return spent


def summarize(spent: dict[str, dict[str, list[candidates.Spent]]]) -> dict[str, dict]:
    """Mean milliseconds of each candidate for each set."""
    return {
        kind: {
            name: {
                clock: 1e3 * statistics.fmean(getattr(clip, clock) for clip in clips)
                for clock in ("cpu", "wall")
            }
            for name, clips in names.items()
        }
        for kind, names in spent.items()
    }


def fastest_peer(means: dict[str, dict[str, float]]) -> str:
    """Who delivers the same picture and sound soonest."""
    return min(set(means) - {OURS, BARE, FLOOR}, key=lambda name: means[name]["cpu"])


def print_candidates(summary: dict[str, dict]) -> None:
    """Print a table for each set of files, and how the targets are met."""
    for kind, means in summary.items():
        peer = fastest_peer(means)
        print(f"\n{kind:32}{'CPU ms':>9}{'wall ms':>9}{'clips/s/core':>14}{'times peer':>12}")
        for name, mean in sorted(means.items(), key=lambda item: item[1]["cpu"]):
            print(
                f"{name:32}{mean['cpu']:9.1f}{mean['wall']:9.1f}{1e3 / mean['cpu']:14.1f}"
                f"{means[peer]['cpu'] / mean['cpu']:12.2f}"
            )
    downloaded, prepared = summary["downloaded"], summary["prepared"]
    peer = fastest_peer(downloaded)
    speed = {
        "downloaded: times the fastest peer": downloaded[peer]["cpu"] / downloaded[OURS]["cpu"],
        "prepared: times that peer on downloaded": downloaded[peer]["cpu"] / prepared[OURS]["cpu"],
        "prepared: time of ours / bare": prepared[OURS]["cpu"] / prepared[BARE]["cpu"],
        "prepared: time of ours / floor": prepared[OURS]["cpu"] / prepared[FLOOR]["cpu"],
    }
    print()
    for name, ratio in speed.items():
        print(f"{name:42}{ratio:6.2f}")


def print_stages(stages: dict[str, dict[str, float]]) -> None:
    """Print where the time of our training pipeline goes."""
    kinds = list(stages)
    print(f"\n{'where the time goes, CPU ms a clip':36}" + "".join(f"{k:>12}" for k in kinds))
    for name in stages[kinds[0]]:
        print(f"{name:36}" + "".join(f"{stages[kind][name]:12.2f}" for kind in kinds))
    print(f"{'sum':36}" + "".join(f"{sum(stages[kind].values()):12.2f}" for kind in kinds))


def main() -> None:
    """Measure and print."""
    args = parse_args()
    found = sorted(path for folder in args.videos for path in folder.rglob("*.mp4"))
    if not found:
        raise SystemExit(f"no *.mp4 in {args.videos}; name a folder with --videos")
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    use_one_core()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    init_default_scope("mmaction")
    av.logging.set_level(av.logging.PANIC)
    with tempfile.TemporaryDirectory() as folder:
        prepared = [Path(folder) / f"{number}.mp4" for number in range(len(found))]
        for source, target in zip(found, prepared, strict=True):
            encode_video(source, target, EncodeSettings(short_side=candidates.SHORT_SIDE))
        sets = {"downloaded": list(map(str, found)), "prepared": list(map(str, prepared))}
        clips = draw_clips(sets["downloaded"], args.starts, args.seed)
        print(f"{len(found)} files, {len(clips)} clips each; {platform.processor() or 'one core'}")
        print(
            f"cmac_mm {cmac_mm.__version__}, PyAV {av.__version__}, torch {torch.__version__}, "
            f"Python {platform.python_version()}"
        )
        summary = summarize(measure(sets, clips))
        print_candidates(summary)
        stages = {kind: measure_stages(files, args.starts) for kind, files in sets.items()}
        print_stages(stages)
        if cores is not None:
            os.sched_setaffinity(0, cores)
        loaders = measure_loader(sets["prepared"], args.workers, args.batches)
    if loaders:
        print(f"\n{'DataLoader, prepared files':28}clips/s  CPU ms a clip: workers, main process")
    for workers, row in loaders.items():
        print(
            f"{workers:4} workers{'':16}{row['clips_per_second']:7.1f}"
            f"{row['worker_cpu_ms']:24.2f}{row['main_cpu_ms']:14.2f}"
        )
    if args.json:
        results = dict(candidates=summary, stages=stages, loaders=loaders)
        write_text(args.json, json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
