"""Training from prepared files: how many loading processes keep the GPU busy.

    python benchmarks/benchmark_end_to_end.py cmac_mm::cmac_k400.py --videos data/kinetics400/val

The config's own loader reads videos that were prepared as tools/data/prepare_videos.py does it:
those of a folder, or made ones (a picture that drifts, with grain, and noise as sound). They lie in
the page cache: what storage can deliver is not measured. For each number of processes whole
training steps are timed, once what was loaded ahead is used up. Idle is the share of the time in
which the GPU has to wait for a batch.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from benchmark_training import Candidate, Combination, batches_in_memory, batches_of_loader
from mmengine.config import Config
from mmengine.registry import init_default_scope
from step_parts import DATA

from cmac_mm.preparation import EncodeSettings, encode_video
from cmac_mm.utils import load_config
from cmac_mm.utils.files import write_text

EPOCHS, VIDEOS = 200, 240_000  # the paper's
ROWS = 100_000  # of the list: no epoch ends while it is measured
MADE, SECONDS, RATE = 4, 10, 24000


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="a config of CMAC: a file, or cmac_mm::NAME")
    parser.add_argument("--videos", type=Path, help="folder with *.mp4 to prepare (made ones)")
    parser.add_argument(
        "--device",
        choices=["cuda", "cpu"],
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="where to run (cuda if there is one)",
    )
    parser.add_argument("--batch-size", type=int, help="clips a step (the config's)")
    parser.add_argument(
        "--combination",
        default="bf16+channels_last+fused",
        help="as in benchmark_training.py (bf16+channels_last+fused)",
    )
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="(1 2 4 8 16)"
    )
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement (4)")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    return parser.parse_args(argv)


def make_video(path: Path, seed: int) -> None:
    """A large soft picture that drifts past, with grain; noise as sound."""
    rng = np.random.default_rng(seed)
    scene = cv2.resize(rng.integers(0, 256, (24, 32, 3), np.uint8), (640, 480))
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", 30)
        video.width, video.height, video.pix_fmt = 340, 256, "yuv420p"
        sound = container.add_stream("aac", RATE, layout="mono")
        for k in range(30 * SECONDS):
            x, y = k % 300, k * 2 % 220
            picture = scene[y : y + 256, x : x + 340]
            grain = rng.integers(0, 12, picture.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(cv2.add(picture, grain), "rgb24")
            container.mux(video.encode(frame))
        noise = rng.normal(0, 0.1, (1, RATE * SECONDS)).astype(np.float32)
        samples = av.AudioFrame.from_ndarray(noise, "fltp", "mono")
        samples.sample_rate = RATE
        container.mux(sound.encode(samples))
        for stream in (video, sound):
            container.mux(stream.encode(None))


def prepare(folder: Path, videos: Path | None) -> Path:
    """Prepared videos in a folder, and a list of them that is long enough."""
    sources = sorted(videos.rglob("*.mp4")) if videos else []
    if videos and not sources:
        raise SystemExit(f"no *.mp4 in {videos}")
    for seed in range(0 if sources else MADE):
        sources.append(folder / f"made{seed}.mp4")
        make_video(sources[-1], seed)
    targets = [folder / f"prepared{number}.mp4" for number in range(len(sources))]
    for source, target in zip(sources, targets, strict=True):
        encode_video(source, target, EncodeSettings(short_side=144))
    rows = [f"{targets[row % len(targets)].name} {row}" for row in range(ROWS)]
    write_text(folder / "train.txt", "\n".join(rows) + "\n")
    return folder / "train.txt"


def loader_config(cfg: Config, listing: Path, workers: int) -> Config:
    """The config, reading the list with so many processes."""
    cfg = cfg.copy()
    cfg.experiment_name = f"loader_{workers}"
    cfg.train_dataloader.num_workers = workers
    cfg.train_dataloader.persistent_workers = workers > 0
    cfg.train_dataloader.pin_memory = torch.cuda.is_available()
    cfg.train_dataloader.dataset.update(
        ann_file=str(listing), data_prefix=dict(video=str(listing.parent))
    )
    return cfg


def measure(candidate: Candidate, batch_size: int, workers: int, seconds: float) -> dict:
    """Speed and idle share with the batches that the candidate has."""
    ahead = candidate.turn(2 * max(1, workers) + 4)
    turn = candidate.turn(max(3, round(seconds / ahead.seconds)))
    speed = batch_size / turn.seconds
    return dict(
        workers=workers,
        clips_per_second=speed,
        step_ms=1e3 * turn.seconds,
        idle=turn.parts[DATA] / turn.seconds,
        hours=EPOCHS * VIDEOS / speed / 3600,
    )


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    args = parse_args(argv)
    cfg = load_config(args.config)
    init_default_scope("mmaction")
    logging.disable(logging.INFO)
    batch_size = args.batch_size or cfg.train_dataloader.batch_size
    combination = Combination.parse(args.combination)
    if reason := combination.missing(args.device):
        raise SystemExit(f"{combination}: {reason}")
    torch.backends.cudnn.benchmark = True
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        listing = prepare(Path(folder), args.videos)
        candidate = Candidate(
            cfg, combination, args.device, batches_in_memory(cfg, batch_size, args.device)
        )
        memory = measure(candidate, batch_size, 0, args.seconds) | dict(workers=None)
        print(f"{combination}, {batch_size} clips a step, {os.cpu_count()} CPU cores\n")
        print(f"| processes | clips/s | ms a step | idle | hours for {EPOCHS} x {VIDEOS} |")
        print("|---:|---:|---:|---:|---:|")
        for workers in (None, *args.workers):
            row = memory
            if workers is not None:
                batches = batches_of_loader(
                    loader_config(cfg, listing, workers), batch_size, args.device
                )
                candidate.batches = batches
                row = measure(candidate, batch_size, workers, args.seconds)
                batches.close()
            rows.append(row)
            print(
                f"| {'from memory' if workers is None else workers} | "
                f"{row['clips_per_second']:.1f} | {row['step_ms']:.1f} | {row['idle']:.1%} | "
                f"{row['hours']:.1f} |",
                flush=True,
            )
            if args.json:
                found = dict(combination=str(combination), batch_size=batch_size, rows=rows)
                write_text(args.json, json.dumps(found))


if __name__ == "__main__":
    main()
