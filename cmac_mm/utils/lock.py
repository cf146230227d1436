"""Locks of work directories and files."""

from __future__ import annotations

import atexit
import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from mmengine.logging import print_log

NAME = "run.lock"
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
# File descriptors by process and file; closing one would give its lock up. A forked child has its
# parent's dict, but not its locks.
_held: dict[tuple[int, Path], int] = {}


def lock_work_dir(work_dir: str | Path) -> None:
    """Lock a work directory until this process ends.

    The file ``run.lock`` says who writes there. It is locked in the kernel, so that whoever dies,
    by ``kill -9`` too, holds it no longer. Of POSIX's kind: children, such as loading processes
    that live a little longer, do not inherit it. On a file system without locks the text in the
    file counts. A process that holds the lock may ask again.

    Args:
        work_dir (str | Path): The folder; made if need be.

    Raises:
        ValueError: If another process writes there; it names host, process and start.
    """
    path = Path(work_dir).resolve() / NAME
    if (os.getpid(), path) in _held:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(file, path)
        except BaseException:
            os.close(file)
            raise
        # Whoever held it before may have removed it meanwhile.
        if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
            break
        os.close(file)
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(_this_process()).encode(), 0)
    _held[os.getpid(), path] = file
    atexit.register(unlock_work_dir, work_dir)


def unlock_work_dir(work_dir: str | Path) -> None:
    """Unlock a work directory; does nothing without a lock of this process."""
    path = Path(work_dir).resolve() / NAME
    file = _held.pop((os.getpid(), path), None)
    if file is not None:
        path.unlink(missing_ok=True)
        os.close(file)


@contextmanager
def only_one(path: Path, doing: str = "fetches") -> Iterator[None]:
    """Lock a file for one process at a time.

    Args:
        path (Path): The file, whose folder exists.
        doing (str): What that process does, for the log. Defaults to ``'fetches'``.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print_log(f"waiting for another process, which {doing} {path.name}", "current")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _take(file: int, path: Path) -> None:
    works = True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise ValueError(_refusal(_read(file), path)) from error
        if error.errno not in _NO_LOCKS:
            raise
        works = False
    holder = _read(file)
    if holder is None:
        return
    if not works and may_be_alive(holder):
        raise ValueError(_refusal(holder, path))
    print_log(f"{path} is of {_name(holder)}, which is no more", "current", logging.WARNING)


def may_be_alive(holder: dict[str, Any]) -> bool:
    """Whether the process of a lock file may still run.

    Args:
        holder (dict[str, Any]): What the file holds.

    Returns:
        bool: False if it is known to be gone: of this host, but ended, or its number now is another
        process's; or of a Slurm job that was requeued, which is this process's. What runs on
        another host is not known.
    """
    if holder.get("job") is not None and holder["job"] == os.environ.get("SLURM_JOB_ID"):
        return False
    if holder["host"] != socket.gethostname():
        return True
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return holder.get("ticks") == _start_ticks(holder["pid"])


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "ticks": _start_ticks(os.getpid()),
        "job": os.environ.get("SLURM_JOB_ID"),
    }


def _start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since the machine did; None if it cannot be known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])


def _read(file: int) -> dict[str, Any] | None:
    """What a lock file says; None if it is empty, or its writer was killed inside the line."""
    try:
        holder = json.loads(os.pread(file, 4096, 0))
    except ValueError:
        return None
    return holder if isinstance(holder, dict) and {"host", "pid"} <= holder.keys() else None


def _name(holder: dict[str, Any]) -> str:
    return f"process {holder['pid']} on host {holder['host']}, since {holder.get('since')}"


def _refusal(holder: dict[str, Any] | None, path: Path) -> str:
    name = "another process" if holder is None else _name(holder)
    return (
        f"{path.parent} is in use: {name}, writes there. Wait for its end, or choose another "
        f"--work-dir. If you know that it is no more, remove {path}"
    )
