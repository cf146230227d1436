"""What the tests of all parts share."""

from __future__ import annotations

import gc
import os

# Networks here are small, and each of several processes would start a thread for every core.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is loaded

import signal
from pathlib import Path

import pytest

# What starts the workers imports this, too: no more here than that needs.

# A shell starts its background jobs deaf to Ctrl-C, and so would be what the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Processes that a test leaves behind are looked for in its process group: one for each worker.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.setpgid(0, 0)


def pytest_collection_modifyitems(items):
    on_gpu = [item for item in items if item.get_closest_marker("gpu")]
    if not on_gpu:
        return
    import torch

    if not torch.cuda.is_available():
        for item in on_gpu:
            item.add_marker(pytest.mark.skip(reason="no GPU"))


@pytest.fixture(scope="session")
def media_dir(tmp_path_factory) -> Path:
    """Folder of media files: the real ones where they are, else small ones made now."""
    from helpers.made_media import media_folder

    return media_folder(tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="session", autouse=True)
def _quicker():
    """Save time and change nothing else."""
    from helpers.quick import configs_once

    configs_once()
    # MMEngine looks for garbage with every dataset: not among all that has been imported.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
