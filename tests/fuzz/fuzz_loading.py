"""Load damaged files: each must end in a clip or in a MediaError that names the file.

Files of eight formats are damaged in four ways: turned bits, ends and parts that are missing,
wrong values in headers, and packets that are exchanged, dropped, repeated, shortened, scrambled or
shifted in time. Each variant goes through the training pipeline of
configs/_base_/datasets/cmac_32x128.py in a guarded process, as in training. A variant fails if the
process crashes, hangs or raises another error, or if the clip is not a whole one; it is then kept
in WORK_DIR/failed. The process gets no more memory than allowed, and what it has must not grow from
variant to variant.

The same seed gives the same variants: variant N can be made and run again with --only N. WebM files
are made from the first MP4 file. WORK_DIR/results.json holds what became of each variant.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import resource
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from helpers.made_media import media_folder
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mutations import MUTATIONS, make_webm
from rich.console import Console
from rich.progress import track
from rich.table import Table

import cmac_mm  # noqa: F401
from cmac_mm.datasets import MediaError
from cmac_mm.datasets.guarded import Guard, ProcessLost
from cmac_mm.utils import write_text

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs/_base_/datasets/cmac_32x128.py"
FOLDERS = ("torchvision_videos", "ucf101_mini", "grid_mini", "nasty2")
SUFFIXES = ["mp4", "avi", "mpg", "webm", "mov", "mkv", "ts", "wmv"]
WEBM_CODECS = [("libvpx", "libopus"), ("libvpx-vp9", "libopus")]
FAILURES = ("crashed", "hung", "error")
MEGABYTE = 2**20


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variants", type=int, default=2000, help="how many (2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the variants (0)")
    parser.add_argument("--only", type=int, metavar="N", help="make and load just this variant")
    parser.add_argument(
        "--videos",
        type=Path,
        nargs="+",
        metavar="DIR",
        help=f"folders of videos with sound, *.{', *.'.join(SUFFIXES)} (the tests' files)",
    )
    parser.add_argument("--sources", type=int, default=4, help="files of a format and folder (4)")
    parser.add_argument("--time-limit", type=float, default=20, help="seconds a variant (20)")
    parser.add_argument(
        "--memory-limit", type=int, default=2048, help="MB more than at the start (2048)"
    )
    parser.add_argument(
        "--growth-limit", type=float, default=8, help="MB of growth over the whole run (8)"
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path("work_dirs/fuzz"),
        help="folder of results (work_dirs/fuzz)",
    )
    return parser.parse_args()


@dataclass
class Result:
    """What became of a variant: ``outcome`` is clip, refused, crashed, hung or error.

    Memory (MB) is the loading process's: while it worked on the variant, and afterwards.
    """

    number: int
    suffix: str
    kind: str
    source: str
    outcome: str
    reason: str
    milliseconds: float
    peak_mb: float = 0.0
    after_mb: float = 0.0


class Loader:
    """Runs in the guarded process."""

    def __init__(self, memory_limit: int) -> None:
        init_default_scope("mmaction")
        self.pipeline = Compose(Config.fromfile(CONFIG).train_pipeline)
        self.memory_limit = memory_limit
        self.limited_process: int | None = None

    def __call__(self, variant: tuple[Path, int]) -> tuple[str, str, float, float]:
        """Outcome, reason, and the process's memory in MB: the most, and at the end."""
        path, seed = variant
        if self.limited_process != os.getpid():
            limit = _memory("VmSize") + self.memory_limit
            resource.setrlimit(resource.RLIMIT_AS, (int(limit * MEGABYTE),) * 2)
            self.limited_process = os.getpid()
        np.random.seed(seed)
        torch.manual_seed(seed)
        # Let the peak be counted anew.
        Path("/proc/self/clear_refs").write_text("5")
        results: dict[str, Any] = dict(filename=str(path))
        try:
            sample = self.pipeline(results)
            outcome, reason = "clip", ""
        except MediaError as error:
            sample = None
            outcome, reason = "refused", error.reason
            if error.filename != str(path):
                raise ValueError(f"the error names {error.filename}, not {path}") from error
        finally:
            media = results.pop("media", None)
            if media is not None:
                media.close()
        if sample is not None:
            _check(sample["inputs"])
        peak = _memory("VmHWM")
        # What the C library keeps for later has not leaked.
        ctypes.CDLL(None).malloc_trim(0)
        return outcome, reason, peak, _memory("VmRSS")


def _check(inputs: dict[str, torch.Tensor]) -> None:
    """A clip must be whole, whatever it was made from."""
    shapes = {key: tuple(value.shape) for key, value in inputs.items()}
    if shapes != dict(imgs=(3, 32, 128, 128), audio=(1, 257, 100)):
        raise ValueError(f"the clip has the shapes {shapes}")
    if not inputs["audio"].isfinite().all():
        raise ValueError("the spectrogram holds values that are no numbers")


def _memory(key: str) -> float:
    """A size of this process in MB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{key}:\s+(\d+) kB", status, re.MULTILINE)[1]) / 1024


def collect_sources(
    folders: list[Path], count: int, load: Callable[[tuple[Path, int]], Any], scratch: Path
) -> dict[str, list[Path]]:
    """Some files of each format and folder that load as they are, the smallest first.

    Args:
        folders (list[Path]): Where to look.
        count (int): Files of each format in a folder at most.
        load (Callable): Of a file and a seed; the first thing it returns is ``'clip'`` if it can.
        scratch (Path): Folder for WebM files.

    Raises:
        ValueError: There is no file of a format.
    """
    sources: dict[str, list[Path]] = {suffix: [] for suffix in SUFFIXES}
    for suffix, chosen in sources.items():
        for folder in folders:
            found = sorted(folder.rglob(f"*.{suffix}"), key=lambda p: (p.stat().st_size, p.name))
            # Of some, only the beginning has sound.
            good = (p for p in found if "clip" in {load((p, seed))[0] for seed in range(3)})
            chosen += islice(good, count)
        if not chosen and suffix != "webm":
            raise ValueError(f"no *.{suffix} with sound in {', '.join(map(str, folders))}")
    for number, codecs in enumerate(WEBM_CODECS):
        sources["webm"].append(scratch / f"made{number}.webm")
        make_webm(sources["mp4"][0], sources["webm"][-1], codecs, seconds=3.0)
    return sources


def make_variant(
    number: int, seed: int, sources: dict[str, list[Path]]
) -> tuple[bytes, str, str, Path]:
    """Content, suffix, kind and source of a variant."""
    rng = np.random.default_rng([seed, number])
    suffix = SUFFIXES[number % len(SUFFIXES)]
    kind = list(MUTATIONS)[number // len(SUFFIXES) % len(MUTATIONS)]
    source = sources[suffix][rng.integers(len(sources[suffix]))]
    return MUTATIONS[kind](source.read_bytes(), suffix, rng), suffix, kind, source


def fuzz(
    numbers: list[int],
    seed: int,
    sources: dict[str, list[Path]],
    load: Callable[[tuple[Path, int]], tuple[str, str, float, float]],
    work_dir: Path,
) -> list[Result]:
    """Make and load variants, and keep those that fail.

    Args:
        numbers (list[int]): Which variants.
        seed (int): Of all variants.
        sources (dict[str, list[Path]]): Files by suffix.
        load (Callable): A guarded :class:`Loader`.
        work_dir (Path): Folder for the variant and, in ``failed``, for those that fail.

    Returns:
        list[Result]: What became of them.
    """
    results = []
    failed = work_dir / "failed"
    failed.mkdir(parents=True, exist_ok=True)
    for number in track(numbers, "loading damaged files", console=Console(stderr=True)):
        content, suffix, kind, source = make_variant(number, seed, sources)
        path = work_dir / f"variant.{suffix}"
        path.write_bytes(content)
        memory = (0.0, 0.0)
        begin = time.perf_counter()
        try:
            outcome, reason, *memory = load((path, number))
        except ProcessLost as error:
            reason = str(error)
            outcome = "hung" if reason.startswith("hung") else "crashed"
        except Exception as error:
            outcome, reason = "error", f"{type(error).__name__}: {error}\n{error.__cause__ or ''}"
        spent = 1e3 * (time.perf_counter() - begin)
        results.append(Result(number, suffix, kind, source.name, outcome, reason, spent, *memory))
        if outcome in FAILURES:
            shutil.copy(path, failed / f"{number:06d}_{kind}_{source.stem}.{suffix}")
        path.unlink()
    return results


def growth(results: list[Result]) -> float:
    """MB by which the process has grown, from the second tenth of the run to the last.

    In the first tenth caches fill.
    """
    after = [result.after_mb for result in results if result.after_mb]
    tenth = len(after) // 10
    if tenth == 0:
        return 0.0
    return float(np.median(after[-tenth:]) - np.median(after[tenth : 2 * tenth]))


def print_summary(results: list[Result]) -> None:
    """What became of the variants, by format and kind, and why they were refused."""
    table = Table(title=f"{len(results)} damaged files")
    for name in ("format", "damage"):
        table.add_column(name)
    for name in ("variants", "clip", "refused", *FAILURES, "slowest ms", "peak MB"):
        table.add_column(name, justify="right")
    for suffix in [*SUFFIXES, ""]:
        for kind in MUTATIONS if suffix else [""]:
            part = [r for r in results if suffix in ("", r.suffix) and kind in ("", r.kind)]
            if part:
                table.add_row(*_row(suffix or "all", kind, part))
        table.add_section()
    reasons = Counter(re.sub(r"[\d.]+", "#", r.reason.splitlines()[0]) for r in results if r.reason)
    why = Table(title="reasons")
    why.add_column("variants", justify="right")
    why.add_column("reason (# for numbers)")
    for reason, count in reasons.most_common():
        why.add_row(str(count), reason)
    console = Console(width=120)
    console.print(table)
    console.print(why)


def _row(suffix: str, kind: str, part: list[Result]) -> list[str]:
    outcomes = Counter(result.outcome for result in part)
    counts = [str(outcomes[name]) for name in ("clip", "refused", *FAILURES)]
    slowest = max(result.milliseconds for result in part)
    peak = max(result.peak_mb for result in part)
    return [suffix, kind, str(len(part)), *counts, f"{slowest:.0f}", f"{peak:.0f}"]


def main() -> None:
    """Fuzz, and fail if anything did not end as it should."""
    args = parse_args()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    load = partial(Guard(args.time_limit), Loader(args.memory_limit))
    scratch = TemporaryDirectory()
    if args.videos is None:
        media = media_folder(Path(scratch.name))
        args.videos = [media / name for name in FOLDERS]
    sources = collect_sources(args.videos, args.sources, load, args.work_dir)
    numbers = list(range(args.variants)) if args.only is None else [args.only]
    results = fuzz(numbers, args.seed, sources, load, args.work_dir)
    target = args.work_dir / "results.json"
    grown = growth(results)
    content = dict(seed=args.seed, growth_mb=grown, results=[asdict(r) for r in results])
    write_text(target, json.dumps(content, indent=1))
    print_summary(results)
    print(f"memory of the loading process grew by {grown:.1f} MB")
    failed = [result for result in results if result.outcome in FAILURES]
    for result in failed:
        print(f"variant {result.number} ({result.source}) {result.outcome}: {result.reason}")
    if failed or grown > args.growth_limit:
        sys.exit(f"{len(failed)} variants failed, see {args.work_dir / 'failed'}")


if __name__ == "__main__":
    main()
