"""Atomic writing of files, with errors that name the file when the disk is full."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mmengine.fileio import LocalBackend, register_backend

DISK_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
"""Numbers of the errors that a full disk causes; the last is a limit on the size of a file."""


def part_of(path: Path) -> Path:
    """Name of a file while it is written.

    Args:
        path (Path): The file.
    """
    return path.with_name(f".{path.name}.part")


@contextmanager
def naming_full_disk(path: str | Path, size: int | None = None) -> Iterator[None]:
    """Name the file in the error of a full disk.

    Args:
        path (str | Path): What is written inside the block.
        size (int, optional): Its size in bytes, for the message. Defaults to None: not known.

    Raises:
        RuntimeError: If there is no room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        amount = "" if size is None else f" for {size / 2**20:.1f} MiB"
        raise RuntimeError(
            f"{path}: no room{amount} ({error.strerror}); files written before are complete"
        ) from error


@contextmanager
def replacing(path: str | Path, size: int | None = None) -> Iterator[Path]:
    """Write a file under a temporary name beside it, then rename it, as a context.

    Args:
        path (str | Path): The file; its folder is made if need be.
        size (int, optional): Its size in bytes, for the message. Defaults to None: not known.

    Yields:
        Path: Where to write it. The suffix is ``.part``: who writes must tell the format.

    Raises:
        RuntimeError: If there is no room for it; nothing is left behind, an older file stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = part_of(path)
    try:
        with naming_full_disk(path, size):
            yield temporary
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Write a file under a temporary name beside it, then rename it.

    Args:
        path (str | Path): The file; its folder is made if need be.
        content (bytes | memoryview): What it shall hold.

    Raises:
        RuntimeError: If there is no room for it; nothing is left behind, an older file stays.
    """
    with replacing(path, len(content)) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Write a text file in UTF-8 under a temporary name, then rename it."""
    write_bytes(path, content.encode())


def write_npy(path: str | Path, array: np.ndarray) -> None:
    """Write an array as NumPy's file under a temporary name, then rename it.

    Args:
        path (str | Path): The file.
        array (np.ndarray): Numbers, no objects.
    """
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_bytes(path, content.getbuffer())


def write_at(file: int, content: bytes | memoryview, offset: int) -> None:
    """Write all bytes at a position of a file.

    Args:
        file (int): File descriptor.
        content (bytes | memoryview): What to write.
        offset (int): Where, in bytes.
    """
    rest = memoryview(content)
    while rest:
        done = os.pwrite(file, rest, offset)
        rest, offset = rest[done:], offset + done


def append_line(path: str | Path, line: str) -> None:
    """Append a line to a text file, whole or not at all.

    Args:
        path (str | Path): The file; its folder is made if need be.
        line (str): The line, without its end.

    Raises:
        RuntimeError: If there is no room.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming_full_disk(path), path.open("ab", buffering=0) as file:
        append(file.fileno(), f"{line}\n".encode("utf-8", "surrogateescape"))


def append(file: int, content: bytes) -> None:
    """Append to a file, whole or not at all.

    Args:
        file (int): File descriptor.
        content (bytes): What to add.
    """
    end = os.fstat(file).st_size
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        os.ftruncate(file, end)
        raise


def remove_stale(folder: str | Path, pattern: str) -> None:
    """Remove unfinished files of a killed process that match a pattern."""
    for path in Path(folder).glob(part_of(Path(pattern)).name):
        path.unlink(missing_ok=True)


@register_backend("atomic")
class AtomicBackend(LocalBackend):
    """MMEngine's backend for local files, with atomic writing."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file."""
        write_bytes(filepath, obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write a text file."""
        write_bytes(filepath, obj.encode(encoding))
