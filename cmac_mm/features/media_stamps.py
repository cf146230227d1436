"""Stamps that tell when a media file was replaced."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from ..datasets.list_rows import is_address

# Storage in a network answers many questions at a time; one by one they take minutes.
_THREADS = 32
_UNKNOWN = 0


def file_names(dataset: Dataset) -> list[str]:
    """List the media files of a dataset, row by row.

    Args:
        dataset (Dataset): The data set; its ``get_data_info(row)`` has ``filename``.

    Raises:
        ValueError: If it does not tell the files.
    """
    infos = (dataset.get_data_info(row) for row in range(len(dataset)))
    try:
        return [str(info["filename"]) for info in infos]
    except (AttributeError, KeyError) as error:
        raise ValueError(
            f"{type(dataset).__name__} does not tell its media files, so that a changed one could "
            "not be noticed: expected get_data_info(row) with 'filename'"
        ) from error


def media_stamps(names: Sequence[str], by_content: bool = False) -> np.ndarray:
    """Compute a number for each file that changes when the file is replaced.

    It is made of size and time of change, which are asked for in many threads; or of the content.
    Files behind addresses (``s3://...``) are not looked at: their number is 0. So is that of a file
    that is not there, which loading complains of.

    Args:
        names (Sequence[str]): The files, N; one that is named several times is looked at once.
        by_content (bool): Read the whole files, where times mean nothing: after copying without
            them. Defaults to False.

    Returns:
        np.ndarray: (N,) int64.
    """
    unique = list(dict.fromkeys(names))
    parts = [unique[first::_THREADS] for first in range(min(_THREADS, len(unique)))]
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda part: {name: _stamp(name, by_content) for name in part}, parts)
        stamps = {name: stamp for part in found for name, stamp in part.items()}
    return np.array([stamps[name] for name in names], np.int64)


def _stamp(name: str, by_content: bool) -> int:
    if is_address(name):
        return _UNKNOWN
    try:
        if by_content:
            digest = file_digest(name)
        else:
            status = Path(name).stat()
            digest = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode()).digest()
    except OSError:
        return _UNKNOWN
    return int.from_bytes(digest[:8], "little", signed=True)


def file_digest(name: str | Path) -> bytes:
    """Compute SHA-256 of a file's content.

    Args:
        name (str | Path): The file.
    """
    digest = hashlib.sha256()
    with Path(name).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest()
