"""A search index of a million clips: time to build, open, query and change it, and its memory.

The vectors are random: an exact search takes as long whatever they are. The floor is one product
of a matrix and a vector in NumPy, and reading the file's bytes.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np

from cmac_mm.features import SearchIndex

ABOUT = dict(model="random", fingerprint="0")


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long a block takes, and the process's greatest memory so far."""
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what:44} {seconds:9.3f} s   peak {peak:6.2f} GiB", flush=True)


def milliseconds(function: object, repeats: int) -> str:
    """Median and slowest time of a call."""
    times = []
    for number in range(repeats):
        start = time.perf_counter()
        function(number)
        times.append(1e3 * (time.perf_counter() - start))
    return f"median {np.median(times):8.2f} ms, slowest {max(times):8.2f} ms"


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1_000_000, help="entries (1,000,000)")
    parser.add_argument("--clips-a-file", type=int, default=10, help="clips a file (10)")
    parser.add_argument("--length", type=int, default=256, help="values of a vector (256)")
    parser.add_argument("--queries", type=int, default=50, help="queries to time (50)")
    parser.add_argument("--threads", type=int, default=1, help="threads of faiss (1)")
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Run the benchmark."""
    faiss.omp_set_num_threads(args.threads)
    draw = np.random.default_rng(0)
    starts = np.arange(float(args.clips_a_file))
    with tempfile.TemporaryDirectory() as folder:
        with SearchIndex(folder, ABOUT) as index:
            with timed(f"adding {args.clips:,} clips of one modality"):
                for number in range(args.clips // args.clips_a_file):
                    rows = draw.standard_normal((len(starts), args.length), np.float32)
                    index.add(f"/videos/{number:07}.mp4", number, starts, dict(visual=rows))
            with timed("writing"):
                index.save()
        (vectors,) = Path(folder).glob("*.faiss")
        rows_file = Path(folder, "index.sqlite")
        print(f"on disk: vectors {vectors.stat().st_size / 2**20:.0f} MiB, ", end="")
        print(f"rows {rows_file.stat().st_size / 2**20:.0f} MiB")
        with timed("floor of opening: reading the bytes"):
            vectors.read_bytes()
        with timed("opening"):
            index = SearchIndex(folder, ABOUT)
        queries = draw.standard_normal((args.queries, args.length), np.float32)
        ours = milliseconds(lambda i: index.search("visual", queries[i]), args.queries)
        print(f"{'a query, 10 files':44} {ours}")
        with timed("forgetting 1,000 files, adding them, writing"):
            names = [f"/videos/{number:07}.mp4" for number in range(1000)]
            stamps = index.stamps()
            names = [name for name in names if name in stamps]
            index.forget(names)
            for name in names:
                rows = draw.standard_normal((len(starts), args.length), np.float32)
                index.add(name, 1, starts, dict(visual=rows))
            index.save()
        index.close()
        matrix = draw.standard_normal((args.clips, args.length), np.float32)
        floor = milliseconds(lambda i: matrix @ queries[i], min(10, args.queries))
        print(f"{'floor: one product in NumPy':44} {floor}")


if __name__ == "__main__":
    main(parse_args())
