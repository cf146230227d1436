"""All that needs a GPU, in one go: tests, training step, convolutions, mining, training from files.

    python benchmarks/gpu_report.py --out work_dirs/gpu_report                        # 8 minutes
    python benchmarks/gpu_report.py --device cpu --quick --out work_dirs/gpu_report   # to try it

Each part is a process with its own time limit; what it prints is in NAME.txt, what it measured in
NAME.json. One that fails, or is stopped, does not stop the others. report.json and report.md are
written anew after each part, so that a run that is cut short still tells what it has found.
gpu_wheels.sh brings what a machine without network lacks.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
COMBINATIONS = (  # the most important first
    "float32",
    "tf32",
    "bf16+channels_last",
    "bf16+channels_last+conv2d",
    "bf16+channels_last+compile",
    "bf16+channels_last+conv2d+compile+fused",
    "bf16+channels_last+graphs+fused",
)
TARGET = "bf16+channels_last+compile"
PEAKS_SECONDS = 60  # left of the training part's time for the peaks
MACHINE = """
import json, os, platform, sys, torch
gpu = torch.cuda.is_available()
found = dict(
    python=platform.python_version(),
    torch=torch.__version__,
    cuda=torch.version.cuda,
    cudnn=torch.backends.cudnn.version() if gpu else None,
    gpu=torch.cuda.get_device_name() if gpu else "none",
    memory_gib=torch.cuda.get_device_properties(0).total_memory / 2**30 if gpu else None,
    cores=len(os.sched_getaffinity(0)),
)
open(sys.argv[1], "w").write(json.dumps(found))
import cmac_mm
print(found, cmac_mm.__version__)
"""


@dataclass
class Part:
    """A process, and what it came to.

    Args:
        name (str): Of its files.
        title (str): Of its section.
        limit (float): Seconds.
        command (Callable[[Path], list[str]]): Program and arguments, from the file to write.
        lines (Callable[[dict], list[str]]): What it measured, as Markdown.
    """

    name: str
    title: str
    limit: float
    command: Callable[[Path], list[str]]
    lines: Callable[[dict], list[str]]
    status: str = "not begun"
    seconds: float = 0.0
    found: dict | None = None
    output: list[str] = field(default_factory=list)

    def run(self, out: Path, time_left: float) -> None:
        """Run it, for as long as its limit and what is left of all time allow."""
        limit = min(self.limit, time_left)
        if limit < 5:  # importing PyTorch takes as long
            self.status = "left out: no time was left"
            return
        result, printed = out / f"{self.name}.json", out / f"{self.name}.txt"
        result.unlink(missing_ok=True)
        begin = time.monotonic()
        with printed.open("w") as file:
            try:
                process = subprocess.Popen(
                    self.command(result),
                    cwd=ROOT,
                    env=environment(),
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                self.status = f"FAILED: {error}"
                return
            try:
                code = process.wait(limit)
                self.status = "done" if code == 0 else f"FAILED: exit status {code}"
            except subprocess.TimeoutExpired:
                self.status = f"STOPPED after {limit:.0f} s"
            finally:
                end(process)
        self.seconds = time.monotonic() - begin
        self.output = printed.read_text(errors="replace").splitlines()[-60:]
        try:
            self.found = json.loads(result.read_text())
        except (OSError, ValueError):
            self.found = None  # it did not come so far: the status says so

    def summary(self) -> list[str]:
        """What it measured, as far as it came."""
        try:
            return self.lines(self.found)
        except (KeyError, TypeError) as error:
            return [f"no summary: {type(error).__name__} {error}"]

    def section(self) -> list[str]:
        """Its part of the page."""
        lines = [f"## {self.title}", "", f"{self.status} ({self.seconds:.0f} s)", ""]
        if self.found is not None:
            lines += [*self.summary(), ""]
        if self.output:
            lines += ["```", *(line[:200] for line in self.output), "```", ""]
        return lines


def environment() -> dict[str, str]:
    """With this project first on Python's path."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}


def end(process: subprocess.Popen) -> None:
    """End a process with all that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_tests(path: Path) -> dict:
    """What pytest's XML says."""
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    bad = [
        case for case in cases if case.find("failure") is not None or case.find("error") is not None
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return dict(
        passed=len(cases) - len(bad) - skipped,
        skipped=skipped,
        failed=[f"{case.get('classname')}::{case.get('name')}" for case in bad],
    )


def run_tests(device: str, result: Path) -> int:
    """Run the tests of a device, and write their numbers."""
    found = sorted(ROOT.glob("tests/*/test_*_on_gpu.py"), reverse=True)  # whole runs come last
    files = [str(path.relative_to(ROOT)) for path in found]
    chosen = ["-m", "gpu"] if device == "cuda" else ["-k", "cpu"]
    xml = result.with_suffix(".xml")
    options = ["-v", "-p", "no:cacheprovider", f"--junitxml={xml}", *chosen]
    code = subprocess.run([sys.executable, "-m", "pytest", *options, *files], cwd=ROOT).returncode
    write(result, json.dumps(read_tests(xml)))
    return code


def tests_lines(found: dict) -> list[str]:
    """Numbers, and what failed."""
    numbers = f"{found['passed']} passed, {len(found['failed'])} failed, {found['skipped']} skipped"
    return [numbers, *(f"- FAILED {name}" for name in found["failed"])]


def training_lines(found: dict) -> list[str]:
    """The table of combinations, and the targets."""
    lines = [
        "| combination | ms a step | times float32 | peak GiB | of convolution peak | neck, heads, "
        "losses |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    verdict = []
    for row in found["rows"]:
        turn, name = row["turn"], row["combination"]
        if turn is None:
            lines.append(f"| {name} | {row['left_out'] or row['failed'][:80]} | | | | |")
            continue
        heads = turn["parts"]["neck, heads, losses"] / turn["seconds"]
        peak, memory = row.get("of_convolution_peak"), turn["peak_memory"]
        lines.append(
            f"| {name} | {1e3 * turn['seconds']:.1f} | {row['ratio']:.2f} | "
            f"{'' if memory is None else f'{memory / 2**30:.2f}'} | "
            f"{'' if peak is None else f'{peak:.1%}'} | {heads:.2%} |"
        )
        if name == TARGET:
            met = [
                ("at least 3 times float32", row["ratio"] >= 3),
                ("neck, heads, losses at most 3 %", heads <= 0.03),
            ]
            if peak is not None:
                met.append(("at least 35 % of the convolution peak", peak >= 0.35))
            verdict = ["", f"Targets of {TARGET}: {verdicts(met)}"]
    return lines + verdict


def verdicts(met: Sequence[tuple[str, bool]]) -> str:
    """Targets, and whether they are met."""
    return "; ".join(f"{name}: {'met' if good else 'NOT met'}" for name, good in met)


def convolution_lines(found: dict) -> list[str]:
    """Sums over a step, and the encoder."""
    ways = ", ".join(f"{way} {ms:.2f}" for way, ms in found["total_ms"].items())
    encoder = found["encoder"]
    return [
        f"{found['dtype']}: all convolutions of the encoder alone, ms a step: {ways}",
        f"Encoder, forward and backward: 3-D {encoder['ms']['3-D']:.2f} ms, 2-D "
        f"{encoder['ms']['2-D']:.2f} ms; relative difference {encoder['output_difference']:.1e}",
    ]


def mining_lines(found: dict) -> list[str]:
    """Time and target."""
    return [
        f"{found['videos']} videos: {found['seconds']:.1f} s, 16 rows at a time "
        f"{found['seconds_16_rows']:.0f} s (scaled); the same {found['same']:.4%}; "
        f"{found['peak_gib']:.2f} GiB",
        "Target: " + verdicts([("under 20 s", found["seconds"] < 20)]),
    ]


def clustering_lines(found: dict) -> list[str]:
    """Times."""
    return [
        f"{found['samples']} rows: {found['fit_seconds']:.1f} s to fit, "
        f"{found['assign_seconds']:.1f} s to assign"
    ]


def end_to_end_lines(found: dict) -> list[str]:
    """The table of loading processes."""
    lines = [
        f"{found['combination']}, {found['batch_size']} clips a step",
        "",
        "| processes | clips/s | ms a step | GPU idle | hours for 200 epochs of 240,000 |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in found["rows"]:
        name = "from memory" if row["workers"] is None else row["workers"]
        speed = f"{row['clips_per_second']:.1f} | {row['step_ms']:.1f}"
        lines.append(f"| {name} | {speed} | {row['idle']:.1%} | {row['hours']:.1f} |")
    busy = [row["workers"] for row in found["rows"] if row["workers"] and row["idle"] < 0.02]
    best = min(row["hours"] for row in found["rows"])
    enough = f"at {busy[0]} processes" if busy else "at none of these numbers"
    return [*lines, "", f"Idle below 2 % {enough}. " + verdicts([("48 hours", best <= 48)])]


def fastest_uncompiled(out: Path) -> str:
    """The combination for training from files: compiling takes long."""
    try:
        rows = json.loads((out / "training.json").read_text())["rows"]
    except (OSError, ValueError):
        rows = []
    times = {
        row["combination"]: row["turn"]["seconds"]
        for row in rows
        if row["turn"] and not {"compile", "graphs"} & set(row["combination"].split("+"))
    }
    return min(times, key=times.get, default="bf16+channels_last")


def python(script: str, *arguments: object) -> list[str]:
    """A script of this folder."""
    return [sys.executable, f"benchmarks/{script}.py", *map(str, arguments)]


def make_parts(args: argparse.Namespace) -> list[Part]:
    """All parts, in order."""
    on = ["--device", args.device]
    config, videos = ROOT / "configs/cmac_k400.py", []
    training = ["--seconds", 190 - PEAKS_SECONDS, "--repeats", 2, "--combinations", *COMBINATIONS]
    convolutions = ["--dtype", "bf16"]
    mining = ["--growth-rows", 0]
    clustering = ["--sizes", 2_000_000, "--num-samples", 2_000_000]
    loading = []
    if args.videos:
        videos = ["--videos", args.videos.resolve()]
    if args.quick:
        config = args.out / "quick.py"
        base = ROOT / "configs/demo/cmac_sounding-shapes.py"
        write(config, f"_base_ = [{str(base)!r}]\nmodel = dict(queue_size=50)\n")
        names = ["float32", "bf16+channels_last+conv2d+fused", "bf16+channels_last+graphs"]
        size = ["--batch-size", 2]
        training = [*size, "--steps", 1, "--repeats", 1, "--combinations", *names]
        convolutions = [*size, "--base-channels", 8, "--frames", 8, "--size", 32, "--repeats", 1]
        mining += ["--size", 2000, "--reference-rows", 64]
        clustering = ["--sizes", 3000, "--num-clusters", 16, "--channels", 32]
        loading = [*size, "--workers", 1, "--seconds", 0.5]

    def end_to_end(json_file: Path) -> list[str]:
        best = ["--combination", fastest_uncompiled(args.out), "--json", json_file]
        return python("benchmark_end_to_end", config, *on, *loading, *videos, *best)

    return [
        Part(
            "machine",
            "Machine",
            60,
            lambda file: [sys.executable, "-c", MACHINE, str(file)],
            lambda found: [f"- {key}: {value}" for key, value in found.items()],
        ),
        Part(
            "tests",
            "Tests",
            90,
            lambda file: python("gpu_report", *on, "--tests", file),
            tests_lines,
        ),
        Part(
            "training",
            "Training step",
            190,
            lambda file: python("benchmark_training", config, *on, *training, "--json", file),
            training_lines,
        ),
        Part(
            "convolutions",
            "Factorised convolutions",
            50,
            lambda file: python("benchmark_convolutions", *on, *convolutions, "--json", file),
            convolution_lines,
        ),
        Part(
            "mining",
            "Mining of positives",
            40,
            lambda file: python("benchmark_mining", *on, *mining, "--json", file),
            mining_lines,
        ),
        Part("end_to_end", "Training from prepared files", 90, end_to_end, end_to_end_lines),
        Part(
            "clustering",
            "K-means (CPU)",
            60,
            lambda file: python("benchmark_clustering", *clustering, "--json", file),
            clustering_lines,
        ),
    ]


def write(path: Path, text: str) -> None:
    """Write a file under a temporary name, then rename it.

    Not by the package: the report must also tell that it cannot be imported.
    """
    part = path.with_name(f".{path.name}.part")
    part.write_text(text)
    part.replace(path)


def write_report(out: Path, parts: Sequence[Part]) -> None:
    """The page and the file of all parts so far."""
    keys = ("name", "title", "limit", "status", "seconds", "found", "output")
    found = [{key: getattr(part, key) for key in keys} for part in parts]
    write(out / "report.json", json.dumps(found, indent=1))
    page = ["# GPU report", "", "| part | status | s |", "|---|---|---:|"]
    page += [f"| {part.title} | {part.status} | {part.seconds:.0f} |" for part in parts]
    for part in parts:
        page += ["", *part.section()]
    write(out / "report.md", "\n".join(page) + "\n")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("work_dirs/gpu_report"), help="folder")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="(cuda)")
    parser.add_argument(
        "--quick", action="store_true", help="thin networks and few steps, to see that it runs"
    )
    parser.add_argument("--limit", type=float, default=480, help="seconds in all (480)")
    parser.add_argument(
        "--patience", type=float, default=1, help="times the limit of each part (1)"
    )
    parser.add_argument("--parts", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--videos", type=Path, help="folder with *.mp4 to train from (made ones)")
    parser.add_argument("--tests", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run all parts; returns 0 if all are done."""
    begin = time.monotonic()
    args = parse_args(argv)
    if args.tests:
        return run_tests(args.device, args.tests)
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    parts = make_parts(args)
    names = [part.name for part in parts]
    if unknown := set(args.parts or ()) - set(names):
        raise SystemExit(f"unknown parts {sorted(unknown)}: expected some of {', '.join(names)}")
    parts = [part for part in parts if not args.parts or part.name in args.parts]
    for part in parts:
        part.limit *= args.patience
        part.run(args.out, args.limit - (time.monotonic() - begin))
        write_report(args.out, parts)
        print(f"{part.title}: {part.status} ({part.seconds:.0f} s)", flush=True)
        if part.found is not None:
            print("\n".join(part.summary()), flush=True)
    print(f"{args.out / 'report.md'}, {time.monotonic() - begin:.0f} s")
    return int(any(part.status != "done" for part in parts))


if __name__ == "__main__":
    sys.exit(main())
