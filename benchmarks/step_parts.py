"""Where the time of CMAC's training step goes."""

from __future__ import annotations

import time

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor

from cmac_mm.models import CMAC

DATA, INPUT, ENCODERS, KEYS = "data wait", "input", "encoders", "keys"
HEADS, OPTIMISER = "neck, heads, losses", "optimiser"
PARTS = (DATA, INPUT, ENCODERS, KEYS, HEADS, OPTIMISER)


class StepParts:
    """Marks in the stream of work; what lies between two of them belongs to one part of the step.

    As every moment lies between two marks, the parts sum up to the whole. On a GPU the marks are
    events in its stream: they show when the GPU got there, not when the work was handed to it, and
    nothing waits for them. A GPU that has to wait for the host, or for data, waits in the part
    whose work is late.

    Where the parts begin and end: ``data wait`` until the batch is there, on a GPU with what its
    copy to the device takes beyond the step before; ``input`` is colour jitter and normalisation;
    ``encoders`` the query backbones, forward and backward; ``keys`` the momentum update and the
    forward pass of the key encoders, their small filters and projections included; ``neck, heads,
    losses`` all the rest of forward and backward, queues included; ``optimiser`` its step, with
    clipping and unscaling of the gradients.

    Backward needs two marks. Autograd goes back in the reverse order of forward, so neck, heads
    and losses come first, and they are done when the first feature map has its gradient.

    Args:
        model (CMAC): The model; its methods are wrapped, and called through the marks from now on.
        wrapper (OptimWrapper): Its optimiser.
        device (str): ``'cuda'`` or ``'cpu'``.
    """

    def __init__(self, model: CMAC, wrapper: OptimWrapper, device: str) -> None:
        self.cuda = device == "cuda"
        self.stream = torch.cuda.current_stream() if self.cuda else None
        self.marks: list[tuple[str, float | torch.cuda.Event]] = []
        self.in_backward = HEADS
        self._wrap(model.data_preprocessor, "forward", HEADS, INPUT)
        self._wrap(model, "_encode_one", HEADS, ENCODERS)
        for encoder in model.key_encoders.values() if model.queue_size else ():
            self._wrap(encoder, "follow", HEADS, KEYS)
            self._wrap(encoder, "forward", HEADS, KEYS)
        self._wrap(wrapper, "step", ENCODERS, OPTIMISER)

    def start(self) -> None:
        """Forget all marks; time runs from here."""
        self.marks = []
        self.mark("start")

    def start_step(self) -> None:
        """The batch is there."""
        self.mark(DATA)
        self.in_backward = HEADS

    def mark(self, part: str) -> None:
        """End a part; the time since the last mark was its own."""
        if self.cuda:
            now = torch.cuda.Event(enable_timing=True)
            now.record(self.stream)
        else:
            now = time.perf_counter()
        self.marks.append((part, now))

    def seconds(self) -> dict[str, float]:
        """Seconds of each part since :meth:`start`; the device must have finished."""
        total = dict.fromkeys(PARTS, 0.0)
        for (_, before), (part, after) in zip(self.marks[:-1], self.marks[1:], strict=True):
            total[part] += before.elapsed_time(after) / 1e3 if self.cuda else after - before
        return total

    def _wrap(self, owner: object, name: str, before: str, during: str) -> None:
        """Mark the beginning and the end of a method of one object."""
        method = getattr(owner, name)

        def timed(*args: object, **kwargs: object) -> object:
            self.mark(before)
            result = method(*args, **kwargs)
            self.mark(during)
            if name == "_encode_one" and result.requires_grad:
                result.register_hook(self._map_has_gradient)
            return result

        setattr(owner, name, timed)

    def _map_has_gradient(self, _: Tensor) -> None:
        self.mark(self.in_backward)
        self.in_backward = ENCODERS
