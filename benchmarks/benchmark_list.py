"""Time and memory of a long list: the first start, which writes the shared file, and later ones.

python benchmarks/benchmark_list.py --rows 10000000
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the list (10000000)")
    parser.add_argument("--ranks", type=int, default=2, help="processes at a time (2)")
    parser.add_argument("--folder", type=Path, help="where the list is made (a temporary folder)")
    args = parser.parse_args()
    if min(args.rows, args.ranks) < 1:
        parser.error("--rows and --ranks must be at least 1")
    return args


def main() -> None:
    """Measure."""
    args = parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder, "list.txt")
        with path.open("w") as file:
            for first in range(0, args.rows, 100_000):
                rows = range(first, min(first + 100_000, args.rows))
                file.writelines(f"class_{i % 400:03d}/video_{i:011d}.mp4 {i % 400}\n" for i in rows)
        print(json.dumps(dict(rows=args.rows, text_bytes=path.stat().st_size / args.rows)))
        for start in ("first", "later"):
            with get_context("spawn").Pool(args.ranks) as pool:
                for rank, found in enumerate(pool.map(_start, [str(path)] * args.ranks, 1)):
                    print(json.dumps(dict(start=start, rank=rank, **found)))
        shared = Path(folder, ".list.txt.rows")
        if shared.is_file():
            size = shared.stat().st_size / args.rows
            print(json.dumps(dict(shared_file_bytes_a_row=round(size, 1))))


def _start(path: str) -> dict[str, float]:
    """What a rank does at its start, and some reading."""
    # Here: importing is not part of what is measured.
    import numpy as np

    from cmac_mm.datasets import AudioVisualDataset

    before = _private()
    begin = time.perf_counter()
    dataset = AudioVisualDataset(path, [], num_classes=400)
    dataset.list_size_and_digest()
    seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    for row in np.random.default_rng(0).integers(len(dataset), size=100_000).tolist():
        dataset.get_data_info(row)
    reading = (time.perf_counter() - begin) / 100_000
    begin = time.perf_counter()
    labels = dataset.list_labels()
    counted = int(np.count_nonzero(labels >= 0))
    labelled = time.perf_counter() - begin
    assert counted == len(dataset)
    return dict(
        seconds=round(seconds, 2),
        microseconds_a_row_read=round(1e6 * reading, 1),
        seconds_all_labels=round(labelled, 2),
        private_bytes_a_row=round((_private() - before) / len(dataset), 2),
    )


def _private() -> int:
    """Bytes of memory that this process shares with no other."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return 1024 * int(re.search(r"Private_Dirty: +(\d+) kB", text)[1])


if __name__ == "__main__":
    sys.exit(main())
