"""Mixed precision with bfloat16."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmaction.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from torch import nn


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Run the model under bfloat16 autocast, on GPU or CPU.

    bfloat16 has the range of float32, so gradients need no scaling, and no step has to wait for
    the device to learn whether one overflowed. For float16 use MMEngine's ``AmpOptimWrapper``.
    Weights, optimiser and losses stay float32.

    Args:
        optimizer (Optimizer): The optimiser.
        **kwargs: Of MMEngine's ``OptimWrapper``.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of the forward pass."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
