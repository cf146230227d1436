"""Checkpoint files: check sums, and weights-only loading."""

from __future__ import annotations

import io
import json
import logging
import pickle
import pickletools
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from torch import Tensor

from .files import write_bytes

# Kept, since `compat` puts `read_checkpoint` in its place while mmengine loads.
_torch_load = torch.load
_LONGEST_HEADER = 100_000_000  # of safetensors, by its own rules
# PyTorch's magic number, pickled: files of PyTorch before 1.6 start with it.
_OLD_FORMAT = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


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


def load_checkpoint(path: str | Path, map_location: str = "cpu") -> dict[str, Any]:
    """Read a local checkpoint file, weights-only; see :func:`read_checkpoint`.

    Args:
        path (str | Path): The file.
        map_location (str): Device to put the tensors on. Defaults to 'cpu'.

    Returns:
        dict[str, Any]: What the file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is no checkpoint, is damaged, or is unsafe, that is, holds more
            than tensors and plain values.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    return read_checkpoint(path, map_location, source=path)


def read_checkpoint(
    file: str | Path | BinaryIO, map_location: Any = None, *, source: str | Path
) -> dict[str, Any]:
    """Read a file of `torch.save`, weights-only: the only place that unpickles checkpoints.

    Files of the format safetensors are read too: as ``state_dict``, and ``meta`` from what the file
    says of itself.

    All check sums are compared first, so that one wrong bit anywhere is found. Files of PyTorch
    before 1.6 have none, which is logged. Only tensors, plain values and MMEngine's logs are
    unpickled.

    Args:
        file (str | Path | BinaryIO): The file, by its path or open for reading.
        map_location (Any): As in `torch.load`. Defaults to None.
        source (str | Path): What messages call the file: its path or address.

    Returns:
        dict[str, Any]: What the file holds.

    Raises:
        RuntimeError: If the file is no checkpoint, is damaged, or is unsafe.
    """
    check_sums(file, source)
    if _find_kind(file, source) == "safetensors":
        return _read_safetensors(file, source, map_location)
    return _unpickle(file, source, map_location=map_location)


def checkpoint_meta(path: str | Path) -> dict[str, Any]:
    """Read the ``meta`` of a run's checkpoint, without its tensors.

    Args:
        path (str | Path): The file.

    Returns:
        dict[str, Any]: Its ``meta``, with the steps behind it as ``iter``.

    Raises:
        RuntimeError: If the file is no checkpoint of a run, is unsafe, or is damaged where it was
            looked at.
    """
    _find_kind(path, path)
    content = _unpickle(path, path, map_location="cpu", mmap=True)
    try:
        int(content["meta"]["iter"])
    except (KeyError, TypeError, ValueError):
        raise RuntimeError(f"{path} is no checkpoint of a run: it holds no meta.iter") from None
    return content["meta"]


def check_sums(file: str | Path | BinaryIO, source: str | Path) -> None:
    """Compare all check sums of a checkpoint file.

    Args:
        file (str | Path | BinaryIO): The file.
        source (str | Path): What messages call it.

    Raises:
        RuntimeError: If one is wrong, or the file is no checkpoint.
    """
    kind = _find_kind(file, source)
    if kind != "zip":
        old = "of PyTorch before 1.6" if kind == "old" else "safetensors"
        _warn_of_no_sums(source, f"is in the format {old}")
        return
    try:
        with zipfile.ZipFile(file) as archive:
            if not any(member.CRC for member in archive.infolist()):
                _warn_of_no_sums(source, "was written with set_crc32_options(False)")
                return
            wrong = archive.testzip()
    except MemoryError:
        raise
    except Exception as error:  # zipfile believes what it reads, so anything may come
        raise _unreadable(source, f"it is damaged ({error})") from None
    finally:
        _rewind(file)
    if wrong is not None:
        raise _unreadable(source, f"it is damaged (the check sum of its part {wrong} is wrong)")


def _warn_of_no_sums(source: str | Path, why: str) -> None:
    print_log(
        f"checkpoint {source} {why} and has no check sums: damaged weights would not be noticed",
        logger="current",
        level=logging.WARNING,
    )


def _find_kind(file: str | Path | BinaryIO, source: str | Path) -> str:
    """`zip`, `old` for the format before PyTorch 1.6, or `safetensors`; all else is refused."""
    if isinstance(file, (str, Path)):
        with Path(file).open("rb") as opened:
            return _find_kind(opened, source)
    try:
        head = file.read(32)
        if head.startswith(b"\x80") and _OLD_FORMAT in head:
            return "old"
        if head.startswith(b"PK\x03\x04") or zipfile.is_zipfile(file):
            return "zip"
        # The length of a header, which is JSON.
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < _LONGEST_HEADER:
            return "safetensors"
        if not head:
            raise _unreadable(source, "it is empty")
        if _is_pickle(file):
            raise RuntimeError(
                f"checkpoint {source} is refused as unsafe: it is a plain Python pickle, and "
                "unpickling that could run any code. Save the weights with torch.save and load that"
            )
        raise _unreadable(
            source,
            f"it is no checkpoint, since torch.save did not write it (it begins with {head!r})",
        )
    finally:
        _rewind(file)


def _rewind(file: str | Path | BinaryIO) -> None:
    if not isinstance(file, (str, Path)):
        file.seek(0)


def _is_pickle(file: BinaryIO) -> bool:
    """Whether a file begins with a whole pickle; nothing is unpickled."""
    file.seek(0)
    try:
        return sum(1 for _ in pickletools.genops(file)) > 1
    except Exception:  # whatever bytes that are no pickle lead to: then it is none
        return False


def _unpickle(file: str | Path | BinaryIO, source: str | Path, **options: Any) -> Any:
    try:
        with torch.serialization.safe_globals(_harmless_classes()):
            return _torch_load(file, weights_only=True, **options)
    except (torch.OutOfMemoryError, MemoryError, FileNotFoundError, PermissionError):
        raise
    except pickle.UnpicklingError as error:
        # torch's message is left out, also as the cause: it advises to set weights_only=False.
        found = re.search(r"(?:GLOBAL |but got <class '|function )([\w.]+)", str(error))
        held = f"a {found[1]}" if found else "more than these"
        raise RuntimeError(
            f"checkpoint {source} is refused: it holds {held}, and unpickling that could run "
            "any code, so the file is unsafe. Only tensors, plain values and mmengine's logs are "
            "loaded; if you trust the file, save its weights alone (a state dict) and load that."
        ) from None
    except Exception as error:  # a damaged pickle can raise anything
        reason = str(error).splitlines()[0] if str(error) else ""
        if "weights_only" in reason:
            reason = "it is a TorchScript archive"
        raise _unreadable(source, f"{type(error).__name__}: {reason}") from None


def _read_safetensors(
    file: str | Path | BinaryIO, source: str | Path, map_location: Any
) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = Path(file).read_bytes() if isinstance(file, (str, Path)) else file.read()
    try:
        weights = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        meta = header.get("__metadata__", {})
        meta = json.loads(meta["meta"]) if "meta" in meta else meta
    except (SafetensorError, ValueError) as error:
        raise _unreadable(source, f"it is damaged ({error})") from None
    if map_location is not None:
        weights = {key: value.to(map_location) for key, value in weights.items()}
    return dict(meta=meta, state_dict=weights)


def write_checkpoint(path: str | Path, weights: Mapping[str, Tensor], meta: Mapping) -> None:
    """Write weights and their description.

    Args:
        path (str | Path): File to write: ``*.safetensors`` in that format, else as `torch.save`
            does it.
        weights (Mapping[str, Tensor]): The weights.
        meta (Mapping): Plain values; kept as JSON in safetensors.

    Raises:
        RuntimeError: If there is no room.
    """
    if Path(path).suffix == ".safetensors":
        from safetensors.torch import save

        tensors = {key: value.contiguous() for key, value in weights.items()}
        write_bytes(path, save(tensors, {"format": "pt", "meta": json.dumps(dict(meta))}))
        return
    content = io.BytesIO()
    torch.save(dict(meta=dict(meta), state_dict=dict(weights)), content)
    write_bytes(path, content.getbuffer())


def _unreadable(source: str | Path, reason: str) -> RuntimeError:
    return RuntimeError(f"{source} cannot be read as a checkpoint: {reason}")
