"""Latency of an encoder on the CPU: as it is, compiled, exported, in onnxruntime, and in int8.

All candidates run the same clips in turns. int8 is onnxruntime's static quantisation, calibrated on
real clips; it counts only if its vectors still point where the model's do: the cosine is printed,
and how often the nearest other clip stays the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import Compose, default_collate
from torch import Tensor

from cmac_mm.apis import export_encoders, init_model
from cmac_mm.apis.export import ExportedEncoder, open_onnx
from cmac_mm.features import find_test_pipeline


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", type=Path, help="folder of videos with sound")
    parser.add_argument("--model", default="cmac_mm::cmac_k400.py", help="config (cmac_k400.py)")
    parser.add_argument("--weights", help="checkpoint (random weights: latencies do not depend)")
    parser.add_argument("--clips", type=int, default=16, help="clips to calibrate and judge (16)")
    parser.add_argument("--batch-size", type=int, default=1, help="clips at a time (1)")
    parser.add_argument("--repeats", type=int, default=10, help="runs of each candidate (10)")
    parser.add_argument("--threads", type=int, default=1, help="threads (1)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    return parser.parse_args()


def read_clips(cfg: object, folder: Path, count: int) -> dict[str, Tensor]:
    """One clip in the middle of each of some videos, as the pipeline gives them."""
    pipeline = find_test_pipeline(cfg)
    for step in pipeline:
        if step["type"] == "SampleClips":
            step["num_clips"] = 1
    run = Compose(pipeline)
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".mp4", ".avi"))
    batch = [run(dict(filename=str(path), sample_idx=0)) for path in files[:count]]
    inputs = default_collate([sample["inputs"] for sample in batch])
    return dict(visual=inputs["imgs"], audio=inputs["audio"])


def quantise(path: Path, out: Path, clips: Tensor) -> None:
    """Write an int8 file."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows: Iterator[Tensor] = iter(clips)

        def get_next(self) -> dict | None:
            row = next(self.rows, None)
            return None if row is None else {"input": row[None].numpy()}

    prepared = out.with_suffix(".prepared.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    quantize_static(
        str(prepared), str(out), Reader(), quant_format=QuantFormat.QDQ, per_channel=True
    )


def vectors(run: Callable, clips: Tensor, batch_size: int) -> Tensor:
    """Unit features of all clips."""
    found = torch.cat([run(part)["feature"] for part in clips.split(batch_size)])
    return F.normalize(found.double(), dim=1)


def nearest(unit: Tensor) -> Tensor:
    """The nearest other clip of each."""
    return (unit @ unit.T).fill_diagonal_(-2).argmax(dim=1)


@torch.no_grad()
def measure(modality: str, model: torch.nn.Module, clips: Tensor, args: argparse.Namespace) -> None:
    """Print the table of one encoder."""
    with tempfile.TemporaryDirectory() as folder:
        export_encoders(model, folder)
        encoder = ExportedEncoder(model, modality).eval()
        runs: dict[str, Callable] = {"eager": encoder}
        if not args.no_compile:
            runs["torch.compile"] = torch.compile(encoder)
        runs["torch.export"] = torch.export.load(f"{folder}/{modality}.pt2").module()
        runs["onnxruntime"] = open_onnx(f"{folder}/{modality}.onnx", args.threads)
        quantise(Path(folder, f"{modality}.onnx"), Path(folder, "int8.onnx"), clips)
        runs["onnxruntime int8"] = open_onnx(f"{folder}/int8.onnx", args.threads)
    expected = vectors(encoder, clips, args.batch_size)
    batch = clips[: args.batch_size]
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(batch)
    for _ in range(args.repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run(batch)
            times[name].append(1e3 * (time.perf_counter() - start) / len(batch))
    print(f"\n| {modality}, {tuple(clips.shape[1:])} | ms a clip | cosine, lowest | same nearest |")
    print("|---|---:|---:|---:|")
    for name, run in runs.items():
        unit = vectors(run, clips, args.batch_size)
        cosine = (unit * expected).sum(dim=1).min()
        same = (nearest(unit) == nearest(expected)).double().mean()
        print(f"| {name} | {np.median(times[name]):.1f} | {cosine:.5f} | {same:.0%} |", flush=True)


def main(args: argparse.Namespace) -> None:
    """Run the benchmark."""
    torch.set_num_threads(args.threads)
    model = init_model(args.model, args.weights)
    clips = read_clips(model.cfg, args.videos, args.clips)
    print(f"{len(clips['visual'])} clips, {args.batch_size} at a time, {args.threads} thread(s)")
    for modality, part in clips.items():
        measure(modality, model, part, args)


if __name__ == "__main__":
    main(parse_args())
