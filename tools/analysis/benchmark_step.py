"""Times the training step of a CMAC config, and R2Plus1D against torchvision's r2plus1d_18.

On a CPU two tables, measured in turns so that a busy machine disturbs both sides alike:

1. the whole training step (normalisation, encoders, neck, heads, losses, queues, key encoders'
   update, backward, optimiser) against the bare cost of its four encoder passes (two forward +
   backward, two forward without gradient);
2. forward + backward of R2Plus1D against torchvision's network in its default memory format.

On a GPU a third: clips per second and peak memory in float32, TF32, bfloat16, with and without
channels_last_3d and torch.compile.

    python tools/analysis/benchmark_step.py                    # CPU, 2 clips
    python tools/analysis/benchmark_step.py --device cuda --batch-size 16
"""

import argparse
import time
from collections.abc import Callable

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.registry import OPTIM_WRAPPERS, init_default_scope
from torch import Tensor
from torchvision.models.video import r2plus1d_18

import cmac_mm
from cmac_mm.models import CMAC, AudioResNet, R2Plus1D


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="cmac_mm::cmac_k400.py", help="a CMAC config")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--batch-size", type=int, default=2, help="clips a step")
    parser.add_argument(
        "--repeats",
        type=int,
        default=5,
        help="timed runs of each side, of which the fastest counts",
    )
    parser.add_argument("--frames", type=int, default=32, help="frames a clip")
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    return parser.parse_args()


def make_batch(args: argparse.Namespace) -> dict:
    """A batch as the data loader gives it."""
    size = args.batch_size
    return dict(
        inputs=dict(
            imgs=torch.randint(
                0, 256, (size, 3, args.frames, args.size, args.size), dtype=torch.uint8
            ),
            audio=torch.randn(size, 1, 257, 100),
        ),
        data_samples=[ActionDataSample(metainfo=dict(sample_idx=i)) for i in range(size)],
    )


def build(config: str, device: str) -> tuple[CMAC, Callable[[dict], None]]:
    """The model, and a function that makes one training step."""
    cfg = cmac_mm.load_config(config)
    init_default_scope("mmaction")
    # The jitter of colours is augmentation, not part of the step's mathematics.
    cfg.model.data_preprocessor.color_jitter = None
    cfg.model.grad_norm_interval = 0
    model = MODELS.build(cfg.model).to(device).train()
    optimizer = cfg.optim_wrapper.optimizer
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad],
        lr=1e-6,
        momentum=optimizer.momentum,
        weight_decay=optimizer.weight_decay,
    )
    wrapper = OPTIM_WRAPPERS.build(dict(type="OptimWrapper", optimizer=optimizer))
    return model, lambda batch: model.train_step(batch, wrapper)


def encoder_passes(model: CMAC, batch: dict) -> None:
    """The four encoder passes alone: queries forward and backward, keys forward."""
    inputs = model.data_preprocessor(batch, True)["inputs"]
    model.visual_backbone(inputs["imgs"]).sum().backward()
    model.audio_backbone(inputs["audio"]).sum().backward()
    with torch.no_grad():
        model.key_encoders["visual"].backbone(inputs["imgs"])
        model.key_encoders["audio"].backbone(inputs["audio"])
    model.zero_grad(set_to_none=True)


def time_in_turns(sides: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Seconds of each side's fastest run, in turns after one run that does not count.

    Whatever else the machine does can only add to a time, so the fastest run is the cleanest.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            if repeat:
                times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def print_pair(title: str, seconds: dict[str, float], batch_size: int) -> None:
    """Two rows and the ratio of the first to the second."""
    print(f"\n{title}")
    for name, value in seconds.items():
        print(f"  {name:<46} {value:8.3f} s   {batch_size / value:8.2f} clips/s")
    first, second = seconds.values()
    print(f"  ratio {first / second:.3f}")


def benchmark_cpu(args: argparse.Namespace) -> None:
    """Tables 1 and 2."""
    batch = make_batch(args)
    model, step = build(args.config, "cpu")
    seconds = time_in_turns(
        {
            "training step": lambda: step(batch),
            "its four encoder passes": lambda: encoder_passes(model, batch),
        },
        args.repeats,
    )
    print_pair(f"Training step of {args.config}", seconds, args.batch_size)

    peer, ours = r2plus1d_18(), R2Plus1D()
    ours.load_state_dict({k: v for k, v in peer.state_dict().items() if not k.startswith("fc.")})
    clip = torch.randn(args.batch_size, 3, args.frames, args.size, args.size)

    def torchvisions(x: Tensor) -> Tensor:
        return peer.layer4(peer.layer3(peer.layer2(peer.layer1(peer.stem(x)))))

    # In eval mode: batch statistics would magnify the rounding.
    peer.eval(), ours.eval()
    with torch.no_grad():
        difference = (torchvisions(clip) - ours(clip)).abs().max().item()
    peer.train(), ours.train()
    seconds = time_in_turns(
        {
            "torchvision r2plus1d_18, default format": lambda: torchvisions(clip).sum().backward(),
            "R2Plus1D (channels_last_3d)": lambda: ours(clip).sum().backward(),
        },
        args.repeats,
    )
    print_pair("R(2+1)D-18, forward + backward", seconds, args.batch_size)
    print(f"  largest difference of the outputs in eval mode {difference:.1e} (float32)")


def benchmark_gpu(args: argparse.Namespace) -> None:
    """Table 3."""
    rows = [
        ("float32", False, None, False, False),
        ("TF32", True, None, False, False),
        ("TF32, channels_last_3d", True, None, True, False),
        ("bfloat16", True, torch.bfloat16, False, False),
        ("bfloat16, channels_last_3d", True, torch.bfloat16, True, False),
        ("bfloat16, channels_last_3d, compiled", True, torch.bfloat16, True, True),
    ]
    print(f"\nTraining step of {args.config} on {torch.cuda.get_device_name()}")
    print(f"batch {args.batch_size}, {args.frames} frames, {args.size} px")
    torch.backends.cudnn.benchmark = True
    baseline = None
    for name, tf32, dtype, channels_last, compiled in rows:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        model, step = build(args.config, args.device)
        if not channels_last:
            use_default_format(model)
        if compiled:
            model.visual_backbone.compile()
            model.audio_backbone.compile()
            for encoder in model.key_encoders.values():
                encoder.backbone.compile()
        batch = make_batch(args)

        def run(step: Callable = step, batch: dict = batch, dtype: torch.dtype = dtype) -> None:
            with torch.autocast(args.device, dtype, enabled=dtype is not None):
                step(batch)
            torch.cuda.synchronize()

        torch.cuda.reset_peak_memory_stats()
        seconds = time_in_turns({name: run}, args.repeats)[name]
        baseline = baseline or seconds
        memory = torch.cuda.max_memory_allocated() / 2**30
        print(
            f"  {name:<38} {args.batch_size / seconds:8.1f} clips/s   x{baseline / seconds:5.2f}"
            f"   peak {memory:6.2f} GiB"
        )
        del model, step, run
        torch.cuda.empty_cache()


def use_default_format(model: CMAC) -> None:
    """Undo the encoders' own choice of memory format, for comparison."""
    model.to(memory_format=torch.contiguous_format)
    for module in model.modules():
        if isinstance(module, (R2Plus1D, AudioResNet)):
            module.memory_format = torch.contiguous_format


def main() -> None:
    """Run the benchmark of the device."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.device == "cpu":
        print(f"CPU, {torch.get_num_threads()} threads, torch {torch.__version__}")
        print(f"batch {args.batch_size}, {args.frames} frames, {args.size} px")
        benchmark_cpu(args)
    else:
        benchmark_gpu(args)


if __name__ == "__main__":
    main()
