"""A GPU that computes nothing: finds tensors on the wrong device, and what waits for a GPU.

PyTorch's fake tensors know shape, type and device. Errors are: an operation over two devices; one
that needs a value, such as ``.item()``, ``bool(x)``, ``nonzero`` or a mask as index; and a copy to
the GPU that waits. Tensors on the CPU are real. Autograd's backward pass does not run on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda:0")
# A copy of pageable memory that is larger waits for the GPU.
_STAGED_BYTES = 65536


class _FakeGPU(TorchDispatchMode):
    """Operations on the GPU are fake, those on the CPU real."""

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeTensorMode(allow_non_fake_inputs=True)
        self.pinned: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        kwargs = kwargs or {}
        if func == torch.ops.aten._pin_memory.default:
            copy = args[0].clone()
            self.pinned.add(copy.data_ptr())
            return copy
        if func == torch.ops.aten.is_pinned.default:
            return args[0].data_ptr() in self.pinned
        leaves = tree_leaves((args, kwargs))
        on_gpu = any(
            isinstance(x, FakeTensor) or (isinstance(x, torch.device) and x.type == "cuda")
            for x in leaves
        )
        if not on_gpu:
            return func(*args, **kwargs)
        if func == torch.ops.aten._to_copy.default:
            self._see_copy(args[0], kwargs.get("non_blocking", False))
        if func == torch.ops.aten.copy_.default:
            self._see_copy(args[1], args[2] if len(args) > 2 else False)
        with self.fake:
            return func(*args, **kwargs)

    def _see_copy(self, source: Tensor, non_blocking: bool) -> None:
        if isinstance(source, FakeTensor):
            return
        assert non_blocking, f"a copy to the GPU waits: {tuple(source.shape)}"
        pinned = source.data_ptr() in self.pinned
        assert pinned or source.nbytes <= _STAGED_BYTES, f"not pinned: {tuple(source.shape)}"


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Make ``cuda`` a device on which nothing is computed."""
    torch._C._ensureCUDADeviceGuardSet()
    with mock.patch("torch.cuda._lazy_init"), _FakeGPU():
        yield


def move(model: nn.Module) -> nn.Module:
    """Parameters and buffers of a model to the fake GPU; what is neither stays where it is."""
    memo: dict[int, Tensor] = {}
    for module in model.modules():
        for kept in (module._parameters, module._buffers):
            for name, tensor in kept.items():
                if tensor is not None:
                    if id(tensor) not in memo:
                        memo[id(tensor)] = _empty(tensor)
                    kept[name] = memo[id(tensor)]
        if hasattr(module, "_device"):  # MMEngine's data preprocessor
            module._device = CUDA
    return model


def _empty(tensor: Tensor) -> Tensor:
    fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=CUDA)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(fake, requires_grad=tensor.requires_grad)
    return fake
