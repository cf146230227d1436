"""How fast a device computes a network's convolutions, each alone, and a big matrix product."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

DTYPES = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class Convolution:
    """One call of a convolution in a training step.

    Args:
        input_shape (tuple[int, ...]): `(B, C, *S)`.
        weight_shape (tuple[int, ...]): `(C_out, C / groups, *K)`.
        stride (tuple[int, ...]): One an axis.
        padding (tuple[int, ...]): One an axis.
        dilation (tuple[int, ...]): One an axis.
        groups (int): Groups of channels.
        backward (bool): Whether its weight gets a gradient.
        input_gradient (bool): Whether its input gets one, too.
    """

    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    backward: bool
    input_gradient: bool

    @property
    def flops(self) -> int:
        """Floating-point operations, two for a multiply-add; padding counts as values."""
        out = 1
        for size, kernel, stride, padding, dilation in zip(
            self.input_shape[2:],
            self.weight_shape[2:],
            self.stride,
            self.padding,
            self.dilation,
            strict=True,
        ):
            out *= (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        products = self.input_shape[0] * out * torch.Size(self.weight_shape).numel()
        return 2 * products * (1 + self.backward + self.input_gradient)


def count_step(model: nn.Module, step: Callable[[], None]) -> tuple[Counter[Convolution], int]:
    """Run one step and note its work.

    Args:
        model (nn.Module): A model that is neither compiled nor checkpointed.
        step (Callable[[], None]): Runs one training step of it.

    Returns:
        tuple[Counter[Convolution], int]: Its convolutions with how often each is called, and the
        FLOPs of all convolutions and matrix products of forward and backward, by PyTorch's
        ``FlopCounterMode``.
    """
    calls: Counter[Convolution] = Counter()

    def note(module: nn.Conv2d | nn.Conv3d, inputs: tuple[Tensor]) -> None:
        (x,) = inputs
        backward = torch.is_grad_enabled() and module.weight.requires_grad
        calls[
            Convolution(
                tuple(x.shape),
                tuple(module.weight.shape),
                module.stride,
                module.padding,
                module.dilation,
                module.groups,
                backward,
                backward and x.requires_grad,
            )
        ] += 1

    hooks = [
        module.register_forward_pre_hook(note)
        for module in model.modules()
        if isinstance(module, (nn.Conv2d, nn.Conv3d))
    ]
    with FlopCounterMode(display=False) as counter:
        step()
    for hook in hooks:
        hook.remove()
    return calls, counter.get_total_flops()


def seconds_alone(calls: Counter[Convolution], precision: str, device: str, repeats: int) -> float:
    """Seconds that all convolutions of a step take, one after the other and nothing else.

    Each is timed by itself, forward and (where the step has it) backward, with tensors that are
    already in the precision, in both memory formats, of which the faster counts.

    Args:
        calls (Counter[Convolution]): The convolutions.
        precision (str): A key of ``DTYPES``; for float32 and tf32 set PyTorch's switches before.
        device (str): ``'cuda'`` or ``'cpu'``.
        repeats (int): Timed runs, of which the fastest counts.
    """
    total = 0.0
    for conv, count in calls.items():
        last = torch.channels_last if len(conv.stride) == 2 else torch.channels_last_3d
        total += count * min(
            fastest(convolution_call(conv, DTYPES[precision], device, layout), device, repeats)
            for layout in (torch.contiguous_format, last)
        )
    return total


def matrix_flops_per_second(precision: str, device: str, repeats: int) -> float:
    """FLOP/s of a product of two big square matrices.

    Args:
        precision (str): A key of ``DTYPES``; for float32 and tf32 set PyTorch's switches before.
        device (str): ``'cuda'`` (8192 rows) or ``'cpu'`` (2048).
        repeats (int): Timed runs, of which the fastest counts.
    """
    rows = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(rows, rows, device=device).to(DTYPES[precision]) for _ in range(2))
    return 2 * rows**3 / fastest(lambda: torch.mm(a, b), device, repeats)


def convolution_call(
    conv: Convolution, dtype: torch.dtype, device: str, layout: torch.memory_format
) -> Callable[[], None]:
    """A function that computes it, without autograd's own work.

    Args:
        conv (Convolution): The convolution.
        dtype (torch.dtype): Of all its tensors.
        device (str): ``'cuda'`` or ``'cpu'``.
        layout (torch.memory_format): Of all its tensors.
    """
    x, weight = (
        torch.randn(shape, device=device).to(dtype).contiguous(memory_format=layout)
        for shape in (conv.input_shape, conv.weight_shape)
    )
    no_padding = [0] * len(conv.stride)
    args = (conv.stride, conv.padding, conv.dilation, False, no_padding, conv.groups)
    forward = torch.ops.aten.convolution
    out = forward(x, weight, None, *args)
    gradient = torch.randn_like(out)

    def run() -> None:
        forward(x, weight, None, *args)
        if conv.backward:
            wanted = [conv.input_gradient, True, False]
            torch.ops.aten.convolution_backward(gradient, x, weight, None, *args, wanted)

    return run


def fastest(run: Callable[[], object], device: str, repeats: int) -> float:
    """Seconds of the fastest run after one that does not count.

    On a GPU ten in a row are one run, so that the host is ahead and its calls cost nothing. On a
    CPU it is processor time if there is one thread.

    Args:
        run (Callable[[], object]): What to time.
        device (str): ``'cuda'`` or ``'cpu'``.
        repeats (int): Timed runs.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    run()
    times = []
    for _ in range(repeats):
        if device == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            start.record()
            for _ in range(10):
                run()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / 1e4)
        else:
            begin = clock()
            run()
            times.append(clock() - begin)
    return min(times)
