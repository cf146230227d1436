"""Files that are equal byte by byte."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from cmac_mm.utils import Failure, run_parallel

_BLOCK = 1 << 20


def find_equal_files(
    paths: Sequence[Path], workers: int | None = None, timeout: float = 600.0
) -> list[list[Path]]:
    """Find groups of files with the same content.

    Only files of equal size are read. A path that occurs twice counts once, a link to a file as a
    file of its own; empty and missing files are left out.

    Args:
        paths (Sequence[Path]): The files.
        workers (int, optional): Processes. Defaults to None: one per CPU core.
        timeout (float): Time limit for one file in seconds. Defaults to 600.

    Returns:
        list[list[Path]]: Groups of two and more, each in the order given.

    Raises:
        RuntimeError: A file cannot be read.
    """
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        if path.is_file() and (size := path.stat().st_size):
            by_size[size].append(path)
    alike = [path for group in by_size.values() if len(group) > 1 for path in group]
    digests: dict[Path, bytes] = {}
    for path, found in run_parallel(_digest, alike, workers, timeout, "comparing files"):
        if isinstance(found, Failure):
            raise RuntimeError(f"{path}: cannot be compared ({found.kind}: {found.reason})")
        digests[path] = found
    groups: dict[bytes, list[Path]] = defaultdict(list)
    for path in alike:
        groups[digests[path]].append(path)
    return [group for group in groups.values() if len(group) > 1]


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.digest()
