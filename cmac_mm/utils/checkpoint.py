"""Reading checkpoints without running code from them, and loading weights that must match."""

import os
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn


def _statistics_method(owner: Any, name: str) -> Callable:
    """Stand in for `getattr`, which mmengine's log history needs, and allow just that."""
    if owner is not HistoryBuffer or name not in ("current", "max", "mean", "min"):
        raise pickle.UnpicklingError(f"GLOBAL builtins.getattr is not allowed for {name}")
    return getattr(owner, name)


def _harmless_classes() -> list[Any]:
    """List what mmengine's checkpoints hold beside tensors: its log history, in numpy arrays."""
    numpy_functions = {
        "_reconstruct": np.empty(0).__reduce__()[0],
        "scalar": np.float64(0).__reduce__()[0],
    }
    return [
        HistoryBuffer,
        (_statistics_method, "builtins.getattr"),
        np.ndarray,
        np.dtype,
        *{type(np.dtype(kind)) for kind in (bool, np.int32, np.int64, np.float32, np.float64)},
        # Under the names that numpy 1 and numpy 2 write into files.
        *(
            (function, f"{core}.multiarray.{name}")
            for core in ("numpy.core", "numpy._core")
            for name, function in numpy_functions.items()
        ),
    ]


@contextmanager
def weights_only(source: str | Path) -> Iterator[None]:
    """Make every `torch.load` inside the block weights-only, with a short allow-list.

    The switch is torch's own environment variable, set for the length of the block: it also holds
    for callers that pass `weights_only=False`, as `torch.hub` does for URLs, and it wins over
    `TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`, which is widely advised to make mmengine resume.

    Args:
        source (str | Path): Name of what is loaded, for the error message.

    Raises:
        RuntimeError: If the file holds a class that is not on the list, or is no checkpoint.
    """
    force, force_not = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    saved = {name: os.environ.pop(name) for name in (force, force_not) if name in os.environ}
    os.environ[force] = "1"
    try:
        with torch.serialization.safe_globals(_harmless_classes()):
            yield
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        found = re.search(r"(?:GLOBAL |but got <class '|function )([\w.]+)", str(error))
        if found is None or not isinstance(error, pickle.UnpicklingError):
            raise RuntimeError(f"{source} cannot be read as a checkpoint: {error}") from error
        raise RuntimeError(
            f"checkpoint {source} is refused: it holds a {found[1]}, and unpickling that could run "
            "any code. Only tensors, plain values and mmengine's logs are loaded; if you trust the "
            "file, save its weights alone (a state dict) and load that."
        ) from error
    finally:
        del os.environ[force]
        os.environ.update(saved)


def load_checkpoint(path: str | Path, map_location: str = "cpu") -> dict[str, Any]:
    """Read a local checkpoint file, weights-only.

    Args:
        path (str | Path): The file.
        map_location (str): Device to put the tensors on. Default: 'cpu'.

    Returns:
        dict[str, Any]: What the file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is no checkpoint or holds more than tensors and plain values.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    with weights_only(path):
        return torch.load(path, map_location=map_location, weights_only=True)


def list_mismatches(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Compare the weights of a file with those that are needed, by name and shape.

    Args:
        found (Mapping[str, Tensor]): What the file holds.
        wanted (Mapping[str, Tensor]): What a module needs; their shapes alone are read.

    Returns:
        str: What does not match, a kind a line, at most ten keys each; empty if all do.
    """
    problems = {
        "missing in the file": sorted(wanted.keys() - found.keys()),
        "unknown to the module": sorted(found.keys() - wanted.keys()),
        "of another shape": [
            f"{key} (file {tuple(found[key].shape)}, module {tuple(wanted[key].shape)})"
            for key in sorted(wanted.keys() & found.keys())
            if found[key].shape != wanted[key].shape
        ],
    }
    return "\n  ".join(
        f"{len(keys)} {what}: {', '.join(keys[:10])}{', ...' if len(keys) > 10 else ''}"
        for what, keys in problems.items()
        if keys
    )


def load_weights(module: nn.Module, path: str | Path, prefix: str = "") -> None:
    """Load a module's weights from a checkpoint; every weight must be there and fit.

    What is empty in the module, such as a memory bank without a list, takes the file's size.

    Args:
        module (nn.Module): What to load into, e.g. a visual backbone.
        path (str | Path): A plain state dict, or a checkpoint with one under `state_dict`.
        prefix (str): Load only the keys that start with this, and strip it, e.g.
            'visual_backbone.' to take one encoder out of a pretrained model. Default: ''.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If no key has the prefix, or keys or shapes do not match the module's; lists
            what does not.
    """
    checkpoint = load_checkpoint(path)
    state = checkpoint.get("state_dict", checkpoint)
    state = {key.removeprefix("module."): value for key, value in state.items()}
    chosen = {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }
    if not chosen:
        heads = sorted({key.split(".")[0] for key in state})
        raise RuntimeError(f"{path}: no key starts with {prefix!r}; keys start with {heads}")
    wanted = {
        key: chosen.get(key, value) if value.numel() == 0 else value
        for key, value in module.state_dict().items()
    }
    problems = list_mismatches(chosen, wanted)
    if problems:
        raise RuntimeError(f"{path} does not match {type(module).__name__}:\n  {problems}")
    module.load_state_dict(chosen)
