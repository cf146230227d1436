"""Tests for each device: what they check on a GPU, their logic is checked for on the CPU."""

from contextlib import contextmanager

import pytest
import torch

on_each_device = pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
)


@contextmanager
def without_waiting(device):
    """Whatever waits for the GPU inside the block is an error."""
    if device == "cpu":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
