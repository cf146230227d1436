"""Speed and memory of CMAC's training step, for every combination of what makes it faster.

A combination is a precision, float32, tf32, bf16 or fp16 (the last two with TF32 for what stays
float32), and any of

  channels_last   the encoders' memory format (their default; here it is an option)
  conv2d          R(2+1)D's factorised convolutions as 2-D ones, see convolutions_2d.py
  compile         torch.compile of all encoders
  graphs          the same with CUDA graphs (mode="reduce-overhead")
  fused           the optimiser's fused step
  checkpointing   gradient checkpointing of the query encoders

Each is measured in turns with plain float32, so that whatever else the machine does disturbs both;
the fastest turn of each counts. A turn is a number of whole training steps, as the training loop
makes them, without its hooks (log, checkpoints) and without the gradient norms that CMAC logs at an
interval. See step_parts.py for what belongs to which part of a step.

Two peaks are measured in the same run and precision: of a big matrix product, and of this
network's own convolutions. For the latter every convolution of a step (forward, both gradients,
key encoders) is timed alone, in the faster of the two memory formats; the sum of these times is
what a step would take if nothing but its convolutions cost time.

  of matrix peak       FLOPs of a step / its time / FLOP/s of the matrix product (or --peak)
  of convolution peak  time of the convolutions alone / time of the step

FLOPs are those of convolutions and matrix products, two for a multiply-add, counted by PyTorch's
FlopCounterMode over one plain step: what checkpointing computes again does not count.

Data come from memory, so that loading costs nothing: videos of the built-in set that went through
the config's own training pipeline. With --data the config's loader runs.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import itertools
import json
import logging
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import torch
from convolution_peak import DTYPES, count_step, matrix_flops_per_second, seconds_alone
from convolutions_2d import use_2d
from mmaction.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import apply_to
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from step_parts import HEADS, OPTIMISER, PARTS, StepParts
from torch import Tensor, nn
from torchvision.models.video import r2plus1d_18

from cmac_mm.datasets.samplers.resumable_sampler import SampleIndex
from cmac_mm.engine.hooks import AccelerationHook
from cmac_mm.engine.loops.transfer import on_device
from cmac_mm.models import CMAC, R2Plus1D
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes
from cmac_mm.utils import load_config
from cmac_mm.utils.files import write_text

OPTIONS = ("channels_last", "conv2d", "compile", "graphs", "fused", "checkpointing")
BASELINE = "float32"
# Each adds one thing to the one before it; in the end the alternatives to it.
DEFAULT = (
    BASELINE,
    "tf32",
    "bf16",
    "bf16+channels_last",
    "bf16+channels_last+compile",
    "bf16+channels_last+compile+fused",
    "bf16+channels_last+compile+fused+checkpointing",
    "fp16+channels_last+compile+fused",
    "float32+channels_last",
    "tf32+channels_last+compile+fused",
)
WRAPPERS = {"bf16": "BFloat16OptimWrapper", "fp16": "AmpOptimWrapper"}
TARGET = "bf16+channels_last+compile"


@dataclass(frozen=True)
class Combination:
    """A precision and options, written ``bf16+channels_last+compile``."""

    precision: str
    options: tuple[str, ...]

    @classmethod
    def parse(cls, name: str) -> Combination:
        """Read the name.

        Raises:
            ValueError: If a part of it is unknown.
        """
        precision, *options = name.split("+")
        if precision not in DTYPES or not set(options) <= set(OPTIONS):
            raise ValueError(
                f"combination {name!r}: expected one of {', '.join(DTYPES)}, then any of "
                f"{', '.join(OPTIONS)}, joined by '+'"
            )
        return cls(precision, tuple(option for option in OPTIONS if option in options))

    def __str__(self) -> str:
        return "+".join([self.precision, *self.options])

    def missing(self, device: str) -> str | None:
        """Why it cannot run on this device, if so."""
        if device == "cpu" and self.precision in ("tf32", "fp16"):
            return f"{self.precision} needs a GPU"
        if device == "cuda" and self.precision in ("tf32", "bf16"):
            major, minor = torch.cuda.get_device_capability()
            if major < 8:
                return f"{self.precision} needs compute capability 8.0, found {major}.{minor}"
        if device == "cpu" and "graphs" in self.options:
            return "CUDA graphs need a GPU"
        if {"compile", "graphs"} & set(self.options):
            compiler = os.environ.get("CXX", "g++")
            if shutil.which(compiler) is None:
                return f"torch.compile needs a C++ compiler, {compiler} is not found"
            if device == "cuda" and importlib.util.find_spec("triton") is None:
                return "torch.compile needs triton on a GPU"
        return None


@dataclass
class Turn:
    """What one turn showed: means over its steps."""

    seconds: float  # sum of the parts
    parts: dict[str, float]
    remainder: float  # of the clock's time, what is in no part
    peak_memory: int | None  # bytes


class Candidate:
    """A model and its optimiser, set up for a combination.

    Args:
        config (Config): The config.
        combination (Combination): What to use of it.
        device (str): ``'cuda'`` or ``'cpu'``.
        batches (Iterator[dict]): Batches without end.
    """

    def __init__(
        self, config: Config, combination: Combination, device: str, batches: Iterator[dict]
    ) -> None:
        self.combination, self.device, self.batches = combination, device, batches
        before = torch.cuda.memory_allocated() if device == "cuda" else 0
        cfg = config.copy()
        for backbone in ("visual_backbone", "audio_backbone"):
            if cfg.model.get(backbone):
                cfg.model[backbone].with_cp = "checkpointing" in combination.options
        cfg.model.grad_norm_interval = 0
        self.model = MODELS.build(cfg.model)
        if not isinstance(self.model, CMAC):
            raise ValueError(f"expected a config of CMAC, found {cfg.model.type}")
        self.model.init_weights()
        self.model.to(device).train()
        if "channels_last" not in combination.options:
            self.model.to(memory_format=torch.contiguous_format)
            for module in self.model.modules():
                if hasattr(module, "memory_format"):
                    module.memory_format = torch.contiguous_format
        wrapper = cfg.optim_wrapper
        wrapper.type = WRAPPERS.get(combination.precision, "OptimWrapper")
        if combination.precision == "fp16":
            wrapper.setdefault("loss_scale", "dynamic")
        wrapper.optimizer.pop("fused", None)
        if "fused" in combination.options:
            wrapper.optimizer.fused = True
        self.wrapper = build_optim_wrapper(self.model, wrapper)
        self.set_precision()
        if "conv2d" in combination.options:
            use_2d(self.model)
        modes = {"compile": {}, "graphs": dict(mode="reduce-overhead")}
        for option in modes.keys() & set(combination.options):
            runner = SimpleNamespace(model=self.model)
            tf32 = combination.precision != BASELINE
            AccelerationHook(tf32=tf32, compile=modes[option]).before_train(runner)
        # The first step chooses algorithms, compiles, and allocates the optimiser's state.
        self.step()
        self.own_memory = torch.cuda.memory_allocated() - before if device == "cuda" else 0
        self.timer = StepParts(self.model, self.wrapper, device)
        self.turn(2 if device == "cuda" else 0)

    def set_precision(self) -> None:
        """PyTorch's switches, which all models share."""
        AccelerationHook(tf32=self.combination.precision != BASELINE).before_train(None)

    def step(self) -> dict[str, Tensor]:
        """One training step."""
        return self.model.train_step(next(self.batches), self.wrapper)

    def turn(self, steps: int) -> Turn | None:
        """Time some steps; None for none.

        Raises:
            RuntimeError: If the loss is not finite in the end.
        """
        if not steps:
            return None
        self.set_precision()
        others = start_memory(self.device) - self.own_memory
        synchronize(self.device)
        begin = time.perf_counter()
        self.timer.start()
        for _ in range(steps):
            batch = next(self.batches)
            self.timer.start_step()
            losses = self.model.train_step(batch, self.wrapper)
            self.timer.mark(OPTIMISER)
        synchronize(self.device)
        wall = (time.perf_counter() - begin) / steps
        if not losses["loss"].isfinite():
            raise RuntimeError(f"the loss became {losses['loss'].item()}")
        parts = {name: value / steps for name, value in self.timer.seconds().items()}
        seconds = sum(parts.values())
        peak = peak_memory(self.device)
        return Turn(seconds, parts, wall - seconds, peak if peak is None else peak - others)


@dataclass
class Row:
    """A line of the table."""

    combination: str
    turn: Turn | None = None  # the fastest
    ratio: float | None = None  # to plain float32's fastest of the same turns
    left_out: str | None = None
    failed: str | None = None


def synchronize(device: str) -> None:
    """Wait for the device."""
    if device == "cuda":
        torch.cuda.synchronize()


def start_memory(device: str) -> int:
    """Begin to watch the peak; returns what is allocated on a GPU, 0 on CPU."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    if platform.system() == "Linux":  # 5: the peak of this process starts anew
        Path("/proc/self/clear_refs").write_text("5")
    return 0


def peak_memory(device: str) -> int | None:
    """Bytes at the peak: PyTorch's on a GPU; on CPU the whole process's, on Linux only."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if platform.system() != "Linux":
        return None
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def batches_in_memory(cfg: Config, batch_size: int, device: str) -> Iterator[dict]:
    """One batch again and again, copied to the device each time, as the training loop does it."""
    with tempfile.TemporaryDirectory() as folder:
        make_sounding_shapes(folder, num_train=batch_size, num_test=0, num_bad=0, workers=1)
        dataset = cfg.train_dataloader.dataset.copy()
        dataset.update(
            ann_file=f"{folder}/train.txt", data_prefix=dict(video=folder), time_limit=None
        )
        videos = DATASETS.build(dataset)
        batch = default_collate(
            [videos[SampleIndex(i, i, batch_size, 0)] for i in range(batch_size)]
        )
    if device == "cpu":
        return itertools.repeat(batch)
    pinned = apply_to(batch, torch.is_tensor, torch.Tensor.pin_memory)
    return on_device(itertools.repeat(pinned))


def batches_of_loader(cfg: Config, batch_size: int, device: str) -> Iterator[dict]:
    """Epoch after epoch of the config's training data."""
    cfg = cfg.copy()
    cfg.train_dataloader.batch_size = batch_size
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        runner = Runner.from_cfg(cfg)
        loop = runner.build_train_loop(cfg.train_cfg)
        for epoch in itertools.count():
            loop.sampler.set_position(epoch, 0)
            yield from on_device(loop.dataloader) if device == "cuda" else loop.dataloader


def measure(
    cfg: Config, names: list[Combination], args: argparse.Namespace, batches: Iterator[dict]
) -> tuple[list[Row], dict]:
    """All rows, and the work of a step with the peaks it is compared with."""
    begin = time.perf_counter()
    baseline = Combination(BASELINE, ())
    plain = Candidate(cfg, baseline, args.device, batches)
    convolutions, flops = count_step(plain.model, plain.step)
    rows = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        bar = progress.add_task("", total=len(names))
        for name in names:
            progress.update(bar, description=str(name))
            if time.perf_counter() - begin > args.seconds:
                rows.append(Row(str(name), left_out=f"the {args.seconds:g} s were over"))
            else:
                rows.append(measure_row(cfg, name, args, batches, plain))
                write_rows(args, rows)
            progress.advance(bar)
        work = dict(
            flops=flops,
            convolution_flops=sum(conv.flops * count for conv, count in convolutions.items()),
        )
        del plain
        free_memory(args.device)
        peaks = {}
        for precision in dict.fromkeys(name.precision for name in names):
            if Combination(precision, ()).missing(args.device):
                continue
            progress.update(bar, description=f"peaks of {precision}")
            AccelerationHook(tf32=precision != BASELINE).before_train(None)
            # The peak of the matrix units, whatever the training leaves of it.
            torch.set_float32_matmul_precision("highest" if precision == BASELINE else "high")
            alone = seconds_alone(convolutions, precision, args.device, args.repeats)
            given = args.peak.get(precision)
            peaks[precision] = dict(
                convolution_seconds=alone,
                matrix_flops_per_second=given * 1e12
                if given
                else matrix_flops_per_second(precision, args.device, args.repeats),
            )
    return rows, dict(**work, peaks=peaks)


def measure_row(
    cfg: Config,
    name: Combination,
    args: argparse.Namespace,
    batches: Iterator[dict],
    plain: Candidate,
) -> Row:
    """One combination, in turns with plain float32."""
    if reason := name.missing(args.device):
        return Row(str(name), left_out=reason)
    own, reference = [], []
    try:
        same = str(name) == BASELINE
        candidate = plain if same else Candidate(cfg, name, args.device, batches)
        for _ in range(args.repeats):
            own.append(candidate.turn(args.steps))
            if not same:
                reference.append(plain.turn(args.steps))
    except RuntimeError as error:  # out of memory, or of torch.compile: the others can still run
        return Row(str(name), failed=f"{type(error).__name__}: {str(error).strip()}")
    finally:
        candidate = None
        torch._dynamo.reset()
        free_memory(args.device)
    fastest = min(own, key=lambda turn: turn.seconds)
    reference = min((turn.seconds for turn in reference), default=fastest.seconds)
    return Row(str(name), fastest, reference / fastest.seconds)


def write_rows(args: argparse.Namespace, rows: list[Row], **more: object) -> None:
    """What is known so far, for those who cannot wait for the end."""
    if args.json:
        content = dict(where=describe(args), rows=[asdict(row) for row in rows], **more)
        write_text(args.json, json.dumps(content))


def free_memory(device: str) -> None:
    """Give back what nobody uses."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def utilisation(row: Row, work: dict) -> dict[str, float]:
    """Share of the two peaks that a row reaches."""
    peaks = work["peaks"][row.combination.split("+")[0]]
    return dict(
        of_matrix_peak=work["flops"] / row.turn.seconds / peaks["matrix_flops_per_second"],
        of_convolution_peak=peaks["convolution_seconds"] / row.turn.seconds,
    )


def print_tables(rows: list[Row], work: dict, args: argparse.Namespace) -> None:
    """Print everything as Markdown."""
    memory = "GiB" if args.device == "cuda" else "GiB (process)"
    print(
        f"\n| combination | clips/s | times float32 | peak {memory} | of matrix peak | of "
        "convolution peak |\n|---|---:|---:|---:|---:|---:|"
    )
    good = [row for row in rows if row.turn]
    for row in good:
        share = utilisation(row, work)
        peak = row.turn.peak_memory
        print(
            f"| {row.combination} | {args.batch_size / row.turn.seconds:.2f} | {row.ratio:.2f} | "
            f"{'-' if peak is None else f'{peak / 2**30:.2f}'} | {share['of_matrix_peak']:.1%} | "
            f"{share['of_convolution_peak']:.1%} |"
        )
    print(f"\n| ms a step | all | {' | '.join(PARTS)} | in no part | {HEADS}: share |")
    print(f"|---|{'---:|' * (len(PARTS) + 3)}")
    for row in good:
        parts = " | ".join(f"{row.turn.parts[part] * 1e3:.1f}" for part in PARTS)
        print(
            f"| {row.combination} | {row.turn.seconds * 1e3:.1f} | {parts} | "
            f"{row.turn.remainder * 1e3:.1f} | {row.turn.parts[HEADS] / row.turn.seconds:.2%} |"
        )
    print(
        f"\nA step: {work['flops'] / 1e9:.1f} GFLOP, of these {work['convolution_flops'] / 1e9:.1f}"
        " in convolutions."
    )
    for precision, peak in work["peaks"].items():
        alone = peak["convolution_seconds"]
        source = "as given" if precision in args.peak else "measured"
        print(
            f"{precision}: matrix product {peak['matrix_flops_per_second'] / 1e12:.3f} TFLOP/s "
            f"({source}); convolutions alone {alone * 1e3:.1f} ms, "
            f"{work['convolution_flops'] / alone / 1e12:.3f} TFLOP/s"
        )
    for row in rows:
        if row.left_out or row.failed:
            what = f"left out: {row.left_out}" if row.left_out else f"FAILED: {row.failed}"
            print(f"{row.combination} {what}")


def print_targets(rows: list[Row], work: dict) -> None:
    """What the project wants of a GPU, and what this run found."""
    row = next((row for row in rows if row.combination == TARGET and row.turn), None)
    if row is None:
        return
    print(f"\nTargets of {TARGET} on a GPU, at 16 clips")
    print(f"  times float32                at least 3      {row.ratio:.2f}")
    share = utilisation(row, work)["of_convolution_peak"]
    print(f"  of convolution peak          at least 35 %   {share:.1%}")
    share = row.turn.parts[HEADS] / row.turn.seconds
    print(f"  {HEADS:<28} at most 3 %     {share:.2%}")


def compare_with_torchvision(args: argparse.Namespace) -> dict[str, float]:
    """R2Plus1D against torchvision's network with the same weights, forward + backward, float32."""
    peer, ours = r2plus1d_18().to(args.device), R2Plus1D().to(args.device)
    ours.load_state_dict({k: v for k, v in peer.state_dict().items() if not k.startswith("fc.")})
    clip = torch.randn(args.batch_size, 3, 32, 128, 128, device=args.device)
    AccelerationHook(tf32=False).before_train(None)
    stages = nn.Sequential(peer.stem, peer.layer1, peer.layer2, peer.layer3, peer.layer4)
    # In eval mode: batch statistics would magnify the rounding.
    with torch.no_grad():
        difference = (stages.eval()(clip) - ours.eval()(clip)).abs().max().item()

    def seconds(network: nn.Module) -> float:
        synchronize(args.device)
        begin = time.perf_counter()
        network(clip).sum().backward()
        synchronize(args.device)
        return time.perf_counter() - begin

    turns = [(seconds(stages.train()), seconds(ours.train())) for _ in range(args.repeats + 1)]
    theirs, own = (min(times) for times in zip(*turns[1:], strict=True))
    print(
        f"\nR(2+1)D-18, 32 frames of 128 px, forward + backward, float32: torchvision's in its "
        f"default memory format {theirs:.3f} s, R2Plus1D {own:.3f} s, ratio {theirs / own:.2f}; "
        f"largest difference of the outputs in eval mode {difference:.1e}"
    )
    return dict(torchvision_seconds=theirs, our_seconds=own, largest_difference=difference)


def peak_of(text: str) -> tuple[str, float]:
    """Read ``bf16=989``."""
    precision, _, value = text.partition("=")
    if precision not in DTYPES:
        raise argparse.ArgumentTypeError(f"{text!r}: expected {'/'.join(DTYPES)}=TFLOP/s")
    return precision, float(value)


def combinations_of(text: str) -> list[Combination]:
    """Read a combination's name, or ``all``."""
    if text == "all":
        return [
            Combination(precision, options)
            for precision in DTYPES
            for chosen in itertools.product((False, True), repeat=len(OPTIONS))
            if not {"compile", "graphs"} <= set(options := (*itertools.compress(OPTIONS, chosen),))
        ]
    try:
        return [Combination.parse(text)]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="a config of CMAC: a file, or cmac_mm::NAME")
    parser.add_argument(
        "--device",
        choices=["cuda", "cpu"],
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="where to run (cuda if there is one)",
    )
    parser.add_argument("--batch-size", type=int, help="clips a step (the config's)")
    parser.add_argument("--steps", type=int, help="steps a turn (10 on a GPU, 1 on CPU)")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each combination (3)")
    parser.add_argument(
        "--combinations",
        type=combinations_of,
        nargs="+",
        metavar="NAME",
        default=[combinations_of(name) for name in DEFAULT],
        help=f"such as {TARGET}; or all, the full product (those that add one thing at a time)",
    )
    parser.add_argument(
        "--peak",
        type=peak_of,
        nargs="+",
        default=[],
        metavar="PRECISION=TFLOPS",
        help="the device's peak by its data sheet, such as bf16=989 (a matrix product is measured)",
    )
    parser.add_argument(
        "--data",
        action="store_true",
        help="load the config's training data; let a turn have more steps than the loader keeps "
        "ready, workers x prefetch_factor (data from memory)",
    )
    parser.add_argument(
        "--peer", action="store_true", help="also time R2Plus1D against torchvision's r2plus1d_18"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=float("inf"),
        help="begin no further combination after so many seconds (no limit)",
    )
    parser.add_argument("--threads", type=int, help="CPU threads (PyTorch's choice)")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    args = parser.parse_args(argv)
    args.steps = args.steps or (10 if args.device == "cuda" else 1)
    args.combinations = list(dict.fromkeys(itertools.chain.from_iterable(args.combinations)))
    args.peak = dict(args.peak)
    if min(args.steps, args.repeats, args.batch_size or 1) < 1:
        parser.error("--steps, --repeats and --batch-size must be at least 1")
    return args


def describe(args: argparse.Namespace) -> dict[str, str]:
    """Where and how it was measured."""
    threads = torch.get_num_threads()
    device = torch.cuda.get_device_name() if args.device == "cuda" else f"CPU, {threads} threads"
    source = "the config's loader" if args.data else "memory"
    return dict(
        device=device,
        torch=torch.__version__,
        command="python " + " ".join(sys.argv),
        data=f"from {source}",
        batch=f"{args.batch_size} clips, fastest of {args.repeats} turns of {args.steps} steps",
    )


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    cfg = load_config(args.config)
    init_default_scope("mmaction")
    logging.disable(logging.INFO)  # MMEngine lists every weight that it initialises
    args.batch_size = args.batch_size or cfg.train_dataloader.batch_size
    torch.backends.cudnn.benchmark = cfg.get("env_cfg", {}).get("cudnn_benchmark", False)
    torch.manual_seed(0)
    source: Callable[..., Iterator[dict]] = batches_of_loader if args.data else batches_in_memory
    batches = source(cfg, args.batch_size, args.device)
    rows, work = measure(cfg, args.combinations, args, batches)
    where = describe(args)
    print("\n" + "\n".join(where.values()))
    print_tables(rows, work, args)
    if args.device == "cuda":
        print_targets(rows, work)
    peer = compare_with_torchvision(args) if args.peer else None
    if args.json:
        lines = [asdict(row) | (utilisation(row, work) if row.turn else {}) for row in rows]
        write_text(args.json, json.dumps(dict(where=where, rows=lines, step=work, peer=peer)))
    if any(row.failed for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
