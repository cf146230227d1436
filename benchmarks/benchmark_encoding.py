"""Decoding speed, quality and size of videos prepared with various settings of x264.

Encodes the pictures of some videos as tools/data/prepare_videos.py does, once with each setting;
decodes clips of 32 frames from random starts, the settings in turns, on one core (open, seek,
decode; no conversion to RGB, no sound); and compares all frames with what went into the encoder:
PSNR of the brightness over all frames, mean SSIM (windows of 7x7).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.ndimage import uniform_filter

from cmac_mm.datasets import MediaError, MediaFile
from cmac_mm.datasets.av_reader import read_frames
from cmac_mm.preparation import EncodeSettings, encode_video
from cmac_mm.preparation.listing import read_entries

CLIP_LEN = 32
MEDIA = Path(__file__).resolve().parents[1] / "../shared/media"


@dataclass(frozen=True)
class Variant(EncodeSettings):
    """Settings with other options of x264; None takes one out."""

    change: tuple[tuple[str, str | None], ...] = ()

    @property
    def x264(self) -> dict[str, str]:
        """The changed options."""
        options = {**super().x264, **dict(self.change)}
        return {key: value for key, value in options.items() if value is not None}


PLAIN = (("tune", None), ("x264-params", None))
VARIANTS = {
    "x264's defaults, crf 20": Variant(change=PLAIN),
    "fastdecode": Variant(change=PLAIN[1:]),
    "fastdecode, no B-frames": Variant(change=(("x264-params", "bframes=0"),)),
    "fastdecode, 3 plain B-frames": Variant(),
    "the same, crf 18": Variant(crf=18),
    "the same, crf 23": Variant(crf=23),
    "the same, preset veryfast": Variant(change=(("preset", "veryfast"),)),
    "the same, preset slow": Variant(change=(("preset", "slow"),)),
    "the same, key frame every 8": Variant(key_interval=8),
    "the same, key frame every 32": Variant(key_interval=32),
}


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
        help="folders with videos; only *.mp4 are used",
    )
    parser.add_argument("--starts", type=int, default=20, help="random starts a file (20)")
    return parser.parse_args()


def decode(path: Path, times: list[float]) -> list[np.ndarray]:
    """Brightness of the pictures at some times."""
    media = MediaFile(str(path), need_audio=False)
    images: list[np.ndarray] = []
    read_frames(
        media,
        times,
        lambda at, frame: images.append(np.asarray(frame.to_ndarray()[: frame.height], np.float64)),
    )
    media.close()
    return images


def milliseconds(path: Path, times: list[float]) -> float:
    """Time of the processor to open, seek and decode a clip."""
    begin = time.process_time()
    media = MediaFile(str(path), need_audio=False)
    read_frames(media, times, lambda at, frame: None)
    media.close()
    return 1e3 * (time.process_time() - begin)


def ssim(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity of two pictures, Wang et al. 2004, equation 13."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean1, mean2 = uniform_filter(one, 7), uniform_filter(other, 7)
    var1 = uniform_filter(one * one, 7) - mean1**2
    var2 = uniform_filter(other * other, 7) - mean2**2
    both = uniform_filter(one * other, 7) - mean1 * mean2
    top = (2 * mean1 * mean2 + c1) * (2 * both + c2)
    return float((top / ((mean1**2 + mean2**2 + c1) * (var1 + var2 + c2))).mean())


def main() -> None:
    """Encode, measure and print."""
    args = parse_args()
    files = [
        entry.path
        for folder in args.videos
        for entry in read_entries(folder)
        if entry.path.suffix == ".mp4"
    ]
    if not files:
        sys.exit(f"error: no *.mp4 in {args.videos}")
    with tempfile.TemporaryDirectory() as folder:
        reference = Variant(crf=0, change=PLAIN)
        made: dict[str, list[Path]] = {}
        seconds: dict[str, float] = {}
        for name, settings in {"lossless": reference, **VARIANTS}.items():
            begin = time.process_time()
            made[name] = [Path(folder) / name / f"{file.stem}.mp4" for file in files]
            for file, target in zip(files, made[name], strict=True):
                encode_video(file, target, settings)
            seconds[name] = time.process_time() - begin
        spent: dict[str, list[float]] = {name: [] for name in VARIANTS}
        rng = np.random.default_rng(0)
        for number in range(len(files)):
            media = MediaFile(str(made["lossless"][number]), need_audio=False)
            last = media.duration - CLIP_LEN / 30
            media.close()
            for start in rng.uniform(0, last, args.starts):
                times = [start + i / 30 for i in range(CLIP_LEN)]
                rounds = [
                    [milliseconds(made[name][number], times) for name in VARIANTS] for _ in range(3)
                ]
                for name, values in zip(VARIANTS, np.min(rounds, axis=0), strict=True):
                    spent[name].append(values)
        print(f"{len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:.2f} MB before")
        print("| setting | ms a clip | MB with sound | PSNR dB | SSIM | s to encode |")
        print("|---|---:|---:|---:|---:|---:|")
        for name in VARIANTS:
            squares, similar = [], []
            for true, lossy in zip(made["lossless"], made[name], strict=True):
                times = [k / 30 for k in range(0, 270, 5)]
                for one, other in zip(decode(true, times), decode(lossy, times), strict=True):
                    squares.append(((one - other) ** 2).mean())
                    similar.append(ssim(one, other))
            size = sum(path.stat().st_size for path in made[name]) / 1e6
            psnr = 10 * np.log10(255**2 / np.mean(squares))
            print(
                f"| {name} | {np.mean(spent[name]):.1f} | {size:.2f} | {psnr:.1f} | "
                f"{np.mean(similar):.3f} | {seconds[name]:.1f} |"
            )


if __name__ == "__main__":
    try:
        main()
    except (MediaError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
