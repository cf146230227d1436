"""Times k-means of features in a file, its memory, and its growth with the data set.

    python benchmarks/benchmark_clustering.py
    python benchmarks/benchmark_clustering.py --num-samples 20000 --num-clusters 64  # to try

Features are random, around 1000 centres, in a temporary file that is memory-mapped. Each size is
clustered by `cmac_mm.mining.cluster`: a fit on a sample, then a pass that assigns all rows.
Sizes above --num-samples are extrapolated from the largest one measured: the pass and the bytes a
row grow with the rows, the fit does not.

The assignment is compared with two plain loops over the same chunks of the same file, in turns, the
fastest of three: numpy's products and argmin, and scikit-learn's `pairwise_distances_argmin`.

Memory is the peak of the process less what it has after a first small clustering (Linux). The file
has just been written, so that most of it is read from memory; from a disk, the time of reading it
is added (what the last column holds).
"""

import argparse
import contextlib
import io
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sklearn.metrics import pairwise_distances_argmin

from cmac_mm.mining import FeatureSource, cluster, nearest_centroids
from cmac_mm.utils.files import write_text

CHUNK = 16384
CENTRES = 1000
ROW_BYTES = 16  # label, distance, and the 8 that counting them takes


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="+",
        default=[240_000, 2_000_000, 65_000_000],
        help="numbers of samples (240000, 2000000 and 65000000: Kinetics-400, AudioSet, IG65M)",
    )
    parser.add_argument(
        "--num-samples",
        type=int,
        default=2_000_000,
        help="measure up to so many samples, extrapolate beyond (2000000)",
    )
    parser.add_argument("--channels", type=int, default=512, help="length of a feature (512)")
    parser.add_argument("--num-clusters", type=int, default=256, help="k (256)")
    parser.add_argument("--pca-dim", type=int, help="components of PCA-whitening (default: none)")
    parser.add_argument(
        "--backend", default="auto", choices=["auto", "faiss", "sklearn"], help="(auto)"
    )
    parser.add_argument(
        "--compare-rows", type=int, default=131_072, help="rows of the plain loops (131072)"
    )
    parser.add_argument(
        "--folder", type=Path, help="where the temporary file goes (default: the system's)"
    )
    parser.add_argument("--json", type=Path, help="write the largest measured to this file, too")
    return parser.parse_args()


@contextlib.contextmanager
def feature_file(num: int, channels: int, folder: Path | None) -> Iterator[Path]:
    """A file of features `(num, channels)`, removed at the end."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        needed, free = 4 * num * channels, shutil.disk_usage(temporary).free
        if needed > 0.9 * free:
            raise RuntimeError(
                f"{temporary}: {num} x {channels} features need {needed / 1e9:.1f} GB, "
                f"{free / 1e9:.1f} GB are free; lower --num-samples or choose another --folder"
            )
        path = Path(temporary, "features.npy")
        generator = np.random.default_rng(0)
        centres = generator.standard_normal((CENTRES, channels), dtype=np.float32)
        # Not through a memory map: its pages would count as memory of this process.
        with path.open("wb") as file:
            header = dict(descr="<f4", fortran_order=False, shape=(num, channels))
            np.lib.format.write_array_header_1_0(file, header)
            for start in track(range(0, num, CHUNK), f"writing {needed / 1e9:.2f} GB"):
                size = (min(CHUNK, num - start), channels)
                part = generator.standard_normal(size, dtype=np.float32)
                part += centres[generator.integers(CENTRES, size=len(part))]
                file.write(part)
        yield path


def open_source(path: Path, num: int) -> FeatureSource:
    """The first rows of the file."""
    return FeatureSource([np.load(path, mmap_mode="r")[:num]])


def chunks(source: FeatureSource) -> Iterator[np.ndarray]:
    """All rows, some at a time."""
    for start in range(0, len(source), CHUNK):
        yield source.read(slice(start, start + CHUNK))


def reset_peak() -> None:
    """Let the peak of this process's memory be what it has now; Linux."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> float:
    """Of this process since then, GiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**20


def growth(path: Path, args: argparse.Namespace) -> np.ndarray:
    """Times and memory of growing sets; centroids of the largest measured."""
    table = Table("samples", "fit s", "assign s", "rows / s", "memory GiB", "how", "file GB")
    # A first small one, so that no library is loaded in what is measured.
    options = dict(seed=0, pca_dim=args.pca_dim, backend=args.backend)
    with contextlib.redirect_stdout(io.StringIO()):
        cluster(open_source(path, 2 * CENTRES), min(64, args.num_clusters), **options)
    reset_peak()
    before = peak_memory()
    largest, fit, assign, memory = 0, 0.0, 0.0, 0.0
    measured = sorted({min(size, args.num_samples) for size in args.sizes})
    for size in sorted({*measured, *args.sizes}):
        if size in measured:
            found = cluster(open_source(path, size), args.num_clusters, **options)
            fit, assign = found.fit_seconds, found.assign_seconds
            largest, memory = size, peak_memory() - before
            if args.json:
                known = dict(samples=size, fit_seconds=fit, assign_seconds=assign)
                write_text(args.json, json.dumps(dict(**known, memory_gib=memory)))
            seconds, how = assign, "measured"
        else:
            seconds = assign * size / largest
            how = f"extrapolated from {largest}"
        added = ROW_BYTES * (size - largest) / 2**30
        table.add_row(
            str(size),
            f"{fit:.1f}",
            f"{seconds:.1f}",
            f"{size / seconds:.0f}",
            f"{memory + added:.2f}",
            how,
            f"{4e-9 * size * args.channels:.1f}",
        )
    Console(width=110).print(table)
    return found.centroids


def compare(path: Path, centroids: np.ndarray, args: argparse.Namespace) -> None:
    """The assignment against plain loops; without PCA, which is the same for all."""
    source = open_source(path, min(args.compare_rows, args.num_samples))
    if centroids.shape[1] != source.dim:
        rows = np.linspace(0, len(source) - 1, len(centroids)).astype(int)
        centroids = source.read(rows)
    squares = (centroids**2).sum(axis=1)
    ways = {
        "nearest_centroids": lambda x: nearest_centroids(x, centroids)[0],
        "numpy": lambda x: (squares - 2 * (x @ centroids.T)).argmin(axis=1),
        "scikit-learn": lambda x: pairwise_distances_argmin(x, centroids),
    }
    seconds = {name: [] for name in ways}
    found = {}
    for _ in range(3):
        for name, way in ways.items():
            start = time.perf_counter()
            found[name] = np.concatenate([way(part) for part in chunks(source)])
            seconds[name].append(time.perf_counter() - start)
    table = Table("assignment", "seconds", "rows / s", "time of ours", "same labels")
    ours = min(seconds["nearest_centroids"])
    for name, times in seconds.items():
        same = (found[name] == found["nearest_centroids"]).mean()
        table.add_row(
            name,
            f"{min(times):.2f}",
            f"{len(source) / min(times):.0f}",
            f"{min(times) / ours:.2f}",
            f"{100 * same:.4f} %",
        )
    print(f"{len(source)} rows, distances and exact ties only in ours:")
    Console(width=110).print(table)


def main() -> None:
    """Run as the command line says."""
    args = parse_args()
    num = min(max(args.sizes), args.num_samples)
    if min(*args.sizes, num) < 2 * CENTRES or args.num_clusters > min(args.sizes):
        raise SystemExit(
            f"at least {2 * CENTRES} samples, and as many as clusters, are needed; got --sizes "
            f"{args.sizes}, --num-samples {args.num_samples}, --num-clusters {args.num_clusters}"
        )
    print(
        f"{args.channels} channels, {args.num_clusters} clusters, "
        f"{'no PCA' if args.pca_dim is None else f'PCA to {args.pca_dim}'}, "
        f"{torch.get_num_threads()} threads"
    )
    with feature_file(num, args.channels, args.folder) as path:
        centroids = growth(path, args)
        compare(path, centroids, args)


if __name__ == "__main__":
    main()
