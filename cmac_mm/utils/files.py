"""Writing files so that a reader never finds half of one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file under a temporary name beside it, then rename it.

    Args:
        path (str | Path): The file; its folder is made if need be.
        content (bytes): What it shall hold.

    Raises:
        RuntimeError: If there is no room for it; nothing is left behind, an older file stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise RuntimeError(
                f"{path}: no room for {len(content) / 2**20:.1f} MiB ({error.strerror}); files "
                "written before are complete"
            ) from error
        raise
    temporary.replace(path)


def write_text(path: str | Path, content: str) -> None:
    """Like :func:`write_bytes`, for text in UTF-8."""
    write_bytes(path, content.encode())


def remove_stale(folder: str | Path, pattern: str) -> None:
    """Remove what a killed process has left of files that match the pattern."""
    for path in Path(folder).glob(_temporary(Path(pattern)).name):
        path.unlink(missing_ok=True)


@register_backend("atomic")
class AtomicBackend(LocalBackend):
    """MMEngine's backend for local files, writing through :func:`write_bytes`."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file."""
        write_bytes(filepath, obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write a text file."""
        write_bytes(filepath, obj.encode(encoding))
