"""Memory of `tools/infer.py` over the length of a video.

Writes videos of some lengths at a tiny size, runs the tool over each in a process of its own, and
prints the most memory that it had resident. What is kept of a clip grows with the length; pictures
and sound must not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

INFER = Path(__file__).resolve().parents[1] / "tools/infer.py"
FPS, SIZE, SAMPLE_RATE = 8, (64, 48), 8000


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--minutes", type=float, nargs="+", default=[1, 60], help="lengths of the videos (1 60)"
    )
    parser.add_argument(
        "--drawing", action="store_true", help="also with a picture and an overlay of each"
    )
    return parser.parse_args()


def write_video(path: Path, seconds: int) -> None:
    """Write a bar that moves, and noise."""
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        options = dict(preset="ultrafast", g=str(8 * FPS))
        picture = out.add_stream("libx264", rate=FPS, options=options)
        picture.width, picture.height = SIZE
        picture.pix_fmt = "yuv420p"
        sound = out.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for second in range(seconds):
            for number in range(second * FPS, (second + 1) * FPS):
                image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
                image[:, number % SIZE[0]] = 255
                out.mux(picture.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            samples = 0.1 * generator.standard_normal((1, SAMPLE_RATE), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            frame.pts = second * SAMPLE_RATE
            out.mux(sound.encode(frame))
        out.mux(picture.encode(None))
        out.mux(sound.encode(None))


def peak_memory(video: Path, out: Path, *options: str) -> tuple[float, float]:
    """Run the tool on a video.

    Returns:
        tuple[float, float]: The most memory that one of its processes had resident, MiB; CPU
        seconds.

    Raises:
        RuntimeError: If it fails.
    """
    command = [sys.executable, "-W", "ignore", str(INFER), str(video), "--out", str(out), *options]
    with (out.parent / "said.txt").open("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command)} failed:\n{said.read()}")
    return usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print a table."""
    args = parse_args()
    modes = {"features (--save npz)": ("--batch-size", "16")}
    if args.drawing:
        modes["picture and overlay"] = ("--pictures", "--overlays")
    print("| video | what | resident, MiB | CPU s |\n|---|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for minutes in args.minutes:
            video = Path(folder, f"{minutes:g}.mp4")
            write_video(video, round(60 * minutes))
            for what, options in modes.items():
                mib, seconds = peak_memory(video, Path(folder, f"out{minutes:g}"), *options)
                print(f"| {minutes:g} min | {what} | {mib:.0f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
