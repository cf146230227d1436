"""R(2+1)D-18's convolutions as 3-D and as 2-D ones, and with channels padded to multiples of 8.

    python benchmarks/benchmark_convolutions.py --dtype bf16
    python benchmarks/benchmark_convolutions.py --device cpu --threads 1 --batch-size 2

Each distinct convolution of forward and backward is timed alone, in turns, in the memory format of
the encoder, and so is the whole encoder, forward and backward (with autocast for bf16 and fp16),
whose outputs and gradients must agree. What padding would gain is that of the convolutions alone,
without the copies that it takes. On a CPU with one thread times are processor time.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import torch
from convolution_peak import DTYPES, Convolution, convolution_call, count_step, fastest
from convolutions_2d import use_2d
from torch import Tensor, nn

from cmac_mm.engine.hooks import AccelerationHook
from cmac_mm.models import R2Plus1D
from cmac_mm.utils.files import write_text

WAYS = ("3-D", "2-D", "3-D padded", "2-D padded")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--device",
        choices=["cuda", "cpu"],
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="where to run (cuda if there is one)",
    )
    parser.add_argument("--dtype", choices=DTYPES, default="float32", help="precision (float32)")
    parser.add_argument("--batch-size", type=int, default=16, help="clips (16)")
    parser.add_argument("--frames", type=int, default=32, help="of a clip (32)")
    parser.add_argument("--size", type=int, default=128, help="height and width (128)")
    parser.add_argument("--base-channels", type=int, default=64, help="of the first stage (64)")
    parser.add_argument("--repeats", type=int, default=3, help="turns, the fastest counts (3)")
    parser.add_argument("--threads", type=int, help="CPU threads (PyTorch's choice)")
    parser.add_argument("--json", type=Path, help="write the results to this file, too")
    return parser.parse_args(argv)


def as_2d(conv: Convolution) -> Convolution:
    """The same as a 2-D convolution, see :class:`Conv3dAs2d`; others as they are."""
    batch, channels, frames, height, width = conv.input_shape
    kernel = conv.weight_shape[2:]
    if kernel[0] == 1 and conv.stride[0] == 1:
        return replace(
            conv,
            input_shape=(batch * frames, channels, height, width),
            weight_shape=(*conv.weight_shape[:2], *kernel[1:]),
            stride=conv.stride[1:],
            padding=conv.padding[1:],
            dilation=(1, 1),
        )
    if kernel[1:] == (1, 1) and conv.stride[1:] == (1, 1):
        return replace(
            conv,
            input_shape=(batch, channels, frames, height * width),
            weight_shape=(*conv.weight_shape[:2], kernel[0], 1),
            stride=(conv.stride[0], 1),
            padding=(conv.padding[0], 0),
            dilation=(1, 1),
        )
    return conv


def padded(conv: Convolution) -> Convolution:
    """With channels that are multiples of 8, the three colours apart."""
    out, into, *kernel = conv.weight_shape
    more = into if into == 3 else -(-into // 8) * 8
    return replace(
        conv,
        input_shape=(conv.input_shape[0], more, *conv.input_shape[2:]),
        weight_shape=(-(-out // 8) * 8, more, *kernel),
    )


def find_convolutions(args: argparse.Namespace) -> Counter[Convolution]:
    """Those of one step of the encoder."""
    with torch.device("meta"):
        network = R2Plus1D(base_channels=args.base_channels)
        clips = torch.empty(args.batch_size, 3, args.frames, args.size, args.size)
    return count_step(network, lambda: network(clips).sum().backward())[0]


def time_convolutions(args: argparse.Namespace) -> list[dict]:
    """Milliseconds of each convolution in each way."""
    rows = []
    for conv, count in find_convolutions(args).items():
        ways = dict(zip(WAYS, (conv, as_2d(conv), padded(conv), as_2d(padded(conv))), strict=True))
        calls = {}
        for name, way in ways.items():
            layout = torch.channels_last if len(way.stride) == 2 else torch.channels_last_3d
            calls[name] = convolution_call(way, DTYPES[args.dtype], args.device, layout)
        times = {name: float("inf") for name in ways}
        for _ in range(args.repeats):
            for name, call in calls.items():
                times[name] = min(times[name], 1e3 * fastest(call, args.device, 1))
        rows.append(
            dict(
                input=list(conv.input_shape),
                weight=list(conv.weight_shape),
                stride=list(conv.stride),
                count=count,
                gflop=conv.flops / 1e9,
                ms=times,
            )
        )
    return rows


def difference(found: Tensor, expected: Tensor) -> float:
    """Relative difference of two tensors."""
    return ((found.float() - expected.float()).norm() / expected.float().norm()).item()


def time_encoder(args: argparse.Namespace) -> dict:
    """Milliseconds of the whole encoder in both ways, and how far they are apart."""
    torch.manual_seed(0)
    plain = R2Plus1D(base_channels=args.base_channels).to(args.device)
    networks = {"3-D": plain, "2-D": use_2d(copy.deepcopy(plain))}
    shape = (args.batch_size, 3, args.frames, args.size, args.size)
    clips = torch.randn(shape, device=args.device)
    half = DTYPES[args.dtype] if args.dtype in ("bf16", "fp16") else None
    outputs = {}

    def step(name: str, network: nn.Module) -> None:
        network.zero_grad()
        with torch.autocast(args.device, half, enabled=half is not None):
            outputs[name] = network(clips)
        outputs[name].float().square().mean().backward()

    times = dict.fromkeys(networks, float("inf"))
    for _ in range(args.repeats):
        for name, network in networks.items():
            seconds = fastest(lambda name=name, net=network: step(name, net), args.device, 1)
            times[name] = min(times[name], 1e3 * seconds)
    gradients = [
        torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
        for network in networks.values()
    ]
    return dict(
        ms=times,
        output_difference=difference(outputs["2-D"], outputs["3-D"]),
        gradient_difference=difference(gradients[1], gradients[0]),
    )


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True
    AccelerationHook(tf32=args.dtype != "float32").before_train(None)
    convolutions = time_convolutions(args)
    print(f"| input | weight | stride | times | GFLOP | {' | '.join(f'{w} ms' for w in WAYS)} |")
    print(f"|---|---|---|---:|---:|{'---:|' * len(WAYS)}")
    for row in convolutions:
        shapes = ["x".join(map(str, row[key])) for key in ("input", "weight", "stride")]
        times = " | ".join(f"{row['ms'][way]:.3f}" for way in WAYS)
        print(f"| {' | '.join(shapes)} | {row['count']} | {row['gflop']:.1f} | {times} |")
    total = {way: sum(row["count"] * row["ms"][way] for row in convolutions) for way in WAYS}
    print(f"\nAll, ms a step: {', '.join(f'{way} {ms:.2f}' for way, ms in total.items())}")
    encoder = time_encoder(args)
    print(
        f"Encoder, forward and backward: 3-D {encoder['ms']['3-D']:.2f} ms, 2-D "
        f"{encoder['ms']['2-D']:.2f} ms; relative difference of outputs "
        f"{encoder['output_difference']:.1e}, of gradients {encoder['gradient_difference']:.1e}"
    )
    if args.json:
        found = dict(dtype=args.dtype, convolutions=convolutions, total_ms=total, encoder=encoder)
        write_text(args.json, json.dumps(found))


if __name__ == "__main__":
    main()
