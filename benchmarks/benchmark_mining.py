"""Times the mining of positives against 16 rows at a time, and its growth with the data set.

    python benchmarks/benchmark_mining.py                  # CPU, all of Kinetics-400
    python benchmarks/benchmark_mining.py --device cuda

Banks are random unit vectors; every video has some planted neighbours near it in both. The way
to compare with takes 16 rows, their products with both banks, the minimum and the largest of each
row, as AVID+CMA's authors do; its cost is the same for all rows, so a part is timed and scaled.
Half of it is timed before and half after ours, so that a busy machine disturbs both alike; what
they find must be the same. Large sets are timed on a part of the rows, scaled; sets that do not
fit into memory are extrapolated with the square of their size. CPU time is that of all cores.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from cmac_mm.mining import mine_positives
from cmac_mm.utils.files import write_text

SIZES = (29_000, 58_000, 116_000, 232_067, 464_000, 928_000, 1_800_000)
PLANTED = 8  # videos of one group
REFERENCE_ROWS = 16


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=232_067, help="videos (232067, Kinetics-400)")
    parser.add_argument("--channels", type=int, default=128, help="length of an embedding (128)")
    parser.add_argument("--num-positives", type=int, default=32, help="positives a video (32)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--chunk-size", type=int, help="rows of a block (default: the function's)")
    parser.add_argument(
        "--dtype", choices=["bfloat16", "float16", "float32"], help="(default: the function's)"
    )
    parser.add_argument(
        "--rows", type=int, help="time only this many rows of --size and scale (default: all)"
    )
    parser.add_argument(
        "--reference-rows", type=int, default=1600, help="rows timed of the other way (1600)"
    )
    parser.add_argument(
        "--growth-rows",
        type=int,
        default=8192,
        help="rows timed of each size in the table of growth; 0 for no table (8192)",
    )
    parser.add_argument(
        "--max-size", type=int, default=1_800_000, help="larger sets are extrapolated (1800000)"
    )
    parser.add_argument("--json", type=Path, help="write the comparison to this file, too")
    return parser.parse_args()


def make_banks(size: int, args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Unit vectors, in groups that are near each other in both banks, in random order."""
    generator = torch.Generator().manual_seed(0)
    groups = torch.randint(max(1, size // PLANTED), (size,), generator=generator)
    banks = []
    for _ in range(2):
        centres = torch.randn(int(groups.max()) + 1, args.channels, generator=generator)
        bank = torch.randn(size, args.channels, generator=generator).add_(centres[groups])
        banks.append(F.normalize(bank, dim=1).to(args.device))
    return tuple(banks)


def mine_16_rows_at_a_time(visual: Tensor, audio: Tensor, rows: Tensor, num: int) -> Tensor:
    """The way to compare with; self is excluded, so that the results can be compared."""
    found = []
    for part in rows.split(REFERENCE_ROWS):
        similarity = torch.minimum(visual[part] @ visual.t(), audio[part] @ audio.t())
        similarity[torch.arange(len(part), device=rows.device), part] = -torch.inf
        found.append(similarity.topk(num, dim=1).indices)
    return torch.cat(found)


def timed(function: Callable[[], Tensor], device: str) -> tuple[Tensor, float, float]:
    """Result, wall-clock seconds and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    if device != "cpu":
        torch.cuda.synchronize()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def mine(visual: Tensor, audio: Tensor, rows: slice, args: argparse.Namespace) -> Tensor:
    """Our way."""
    dtype = None if args.dtype is None else getattr(torch, args.dtype)
    return mine_positives(
        visual, audio, args.num_positives, chunk_size=args.chunk_size, dtype=dtype, rows=rows
    )


def time_part(visual: Tensor, audio: Tensor, num: int, args: argparse.Namespace) -> list[float]:
    """Wall-clock and CPU seconds of all rows, from so many.

    What a call costs for a single row, mostly copies of the banks, is paid once; the rest grows
    with the rows.
    """
    mine(visual, audio, slice(0, 1), args)
    _, *once = timed(lambda: mine(visual, audio, slice(0, 1), args), args.device)
    _, *part = timed(lambda: mine(visual, audio, slice(0, num), args), args.device)
    scale = len(visual) / num
    return [a + max(b - a, 0) * scale for a, b in zip(once, part, strict=True)]


def compare(args: argparse.Namespace) -> dict[str, float]:
    """The two ways at full size; seconds of both, and the share that both find."""
    visual, audio = make_banks(args.size, args)
    total = args.size if args.rows is None else min(args.rows, args.size)
    chosen = torch.arange(min(args.reference_rows, args.size), device=args.device)
    mine_16_rows_at_a_time(visual, audio, chosen[:64], args.num_positives)
    theirs = []
    for index, part in enumerate(chosen.chunk(2)):  # before and after
        theirs.append(
            timed(
                lambda part=part: mine_16_rows_at_a_time(visual, audio, part, args.num_positives),
                args.device,
            )
        )
        if index == 0:
            wall, cpu = time_part(visual, audio, total, args)
    expected = torch.cat([found for found, *_ in theirs]).sort(dim=1).values
    again = mine(visual, audio, slice(0, len(chosen)), args).sort(dim=1).values
    same = (again == expected).float().mean().item()
    scale = args.size / len(chosen)
    wall_16, cpu_16 = [sum(run[i] for run in theirs) * scale for i in (1, 2)]
    timed_rows = "all rows" if total == args.size else f"{total} rows timed, scaled"
    table = Table("", "seconds", "minutes", "CPU minutes", "timed")
    for name, seconds, cpu_seconds, note in (
        ("ours", wall, cpu, timed_rows),
        ("16 rows at a time", wall_16, cpu_16, f"{len(chosen)} rows timed, scaled"),
    ):
        row = (f"{seconds:.1f}", f"{seconds / 60:.1f}", f"{cpu_seconds / 60:.1f}")
        table.add_row(name, *row, note)
    print(
        f"{args.size} videos, {args.channels} channels, {args.num_positives} positives, "
        f"{args.device}, {torch.get_num_threads()} threads"
    )
    Console(width=100).print(table)
    print(f"ratio {wall_16 / wall:.2f} in time, {cpu_16 / cpu:.2f} in CPU time")
    print(f"positives that both find (float32 rounding decides the rest): {100 * same:.4f} %")
    peak = peak_memory(args.device)
    print(f"peak memory of the process {peak:.2f} GiB")
    return dict(videos=args.size, seconds=wall, seconds_16_rows=wall_16, same=same, peak_gib=peak)


def peak_memory(device: str) -> float:
    """Of this process on the CPU, or of the tensors on the GPU, GiB."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return torch.cuda.max_memory_allocated() / 2**30


def growth(args: argparse.Namespace) -> None:
    """Seconds of all rows for growing sets."""
    table = Table("videos", "seconds", "minutes", "ns a pair", "CPU minutes", "how")
    largest, per_pair, cpu_per_pair = 0, 0.0, 0.0
    for size in SIZES:
        if size <= args.max_size:
            visual, audio = make_banks(size, args)
            num = min(args.growth_rows, size)
            wall, cpu = time_part(visual, audio, num, args)
            del visual, audio
            largest = size
            per_pair, cpu_per_pair = wall / size**2, cpu / size**2
            how = "measured" if num == size else f"{num} rows measured, scaled"
        else:
            how = f"extrapolated from {largest}"
        seconds = per_pair * size**2
        table.add_row(
            str(size),
            f"{seconds:.1f}",
            f"{seconds / 60:.1f}",
            f"{1e9 * per_pair:.3f}",
            f"{cpu_per_pair * size**2 / 60:.1f}",
            how,
        )
    Console(width=100).print(table)


def main() -> None:
    """Run as the command line says."""
    args = parse_args()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    found = compare(args)
    if args.json:
        write_text(args.json, json.dumps(found))
    if args.growth_rows > 0:
        growth(args)


if __name__ == "__main__":
    main()
