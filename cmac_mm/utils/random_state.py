"""Random draws that depend on nothing but a seed, and leave no trace."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def fixed_random_state(seed: int) -> Iterator[None]:
    """Seed Python's, numpy's and torch's random generators for a block, and restore them after it.

    Args:
        seed (int): The seed, 0 to 2^32 - 1.
    """
    python, legacy = random.getstate(), np.random.get_state()
    # Workers are forked and must not touch CUDA.
    in_worker = torch.utils.data.get_worker_info() is not None
    devices = [] if in_worker or not torch.cuda.is_available() else None
    with torch.random.fork_rng(devices, enabled=True):
        random.seed(seed)
        np.random.seed(seed)
        torch.random.default_generator.manual_seed(seed)
        if devices is None:
            torch.cuda.manual_seed_all(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)
