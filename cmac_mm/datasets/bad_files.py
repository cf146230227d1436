"""List of the files that could not be used, shared by all loading workers."""

from __future__ import annotations

import errno
import fcntl
import os
from io import FileIO
from pathlib import Path

import torch
from torch.utils.data import get_worker_info

from ..utils.files import append, naming_full_disk

_MAX_PATH = 4096
_MAX_WORKERS = 256


class BadFileLog:
    """Log of bad files: counts refused samples and writes each file once to a text file.

    Workers are processes, started before or after the place of the file is known, and may live on
    from epoch to epoch. So the place and the counts are in shared memory, and what a process has
    to say goes into the file in turn, by single appending writes, one line ``path<TAB>reason`` a
    file. A copy of a data set shares its log.
    """

    def __init__(self) -> None:
        self._path = torch.zeros(_MAX_PATH, dtype=torch.uint8).share_memory_()
        self._counts = torch.zeros(_MAX_WORKERS, dtype=torch.int64).share_memory_()
        self._known: set[str] = set()
        self._unwritten: dict[str, str] = {}
        self._read_to = 0

    def __deepcopy__(self, memo: dict) -> BadFileLog:
        return self

    @property
    def path(self) -> Path | None:
        """Path of the text file; None before it is set."""
        raw = bytes(self._path.tolist()).rstrip(b"\0")
        return Path(os.fsdecode(raw)) if raw else None

    @path.setter
    def path(self, path: str | Path) -> None:
        raw = os.fsencode(Path(path).absolute())
        if len(raw) > _MAX_PATH:
            raise ValueError(f"path of the list of bad files is too long: {path}")
        padded = raw.ljust(_MAX_PATH, b"\0")
        self._path.copy_(torch.frombuffer(bytearray(padded), dtype=torch.uint8))

    @property
    def count(self) -> int:
        """Number of samples refused so far by all processes that share this log."""
        return int(self._counts.sum())

    def add(self, filename: str, reason: str) -> bool:
        """Add a refused sample; return whether its file is new in the list."""
        worker = get_worker_info()
        self._counts[0 if worker is None else (worker.id + 1) % _MAX_WORKERS] += 1
        path = self.path
        if path is None:
            return self._note(filename, reason)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            _lock(file)
            self._read(file)
            new = self._note(filename, reason)
            if self._unwritten:
                lines = [f"{name}\t{why}\n" for name, why in self._unwritten.items()]
                with naming_full_disk(path):
                    append(file.fileno(), "".join(lines).encode("utf-8", "surrogateescape"))
                self._unwritten.clear()
        return new

    def _note(self, filename: str, reason: str) -> bool:
        if filename in self._known:
            return False
        self._known.add(filename)
        self._unwritten[filename] = " ".join(reason.split())
        return True

    def _read(self, file: FileIO) -> None:
        """Learn what others have written since the last time."""
        file.seek(self._read_to)
        text = file.read()
        end = text.rfind(b"\n") + 1
        self._read_to += end
        for line in text[:end].decode("utf-8", "surrogateescape").split("\n")[:-1]:
            name = line.rpartition("\t")[0]  # a reason has no tabs, a name may
            self._known.add(name)
            self._unwritten.pop(name, None)


def _lock(file: FileIO) -> None:
    """Keep others out until the file is closed; without locks, a line may be written twice."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
            raise
