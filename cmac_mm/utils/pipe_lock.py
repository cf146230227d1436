"""Lock for several processes that leaves no files."""

from __future__ import annotations

import os
import threading
import time
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext


class PipeLock:
    """Reentrant lock for several processes, held by the byte of a pipe.

    `multiprocessing.RLock` is a semaphore with a name, which stays in `/dev/shm` for ever when the
    whole process group is killed.

    Args:
        context (ForkServerContext): What makes the pipe.
    """

    def __init__(self, context: ForkServerContext) -> None:
        reader, writer = context.Pipe(duplex=False)
        os.set_blocking(reader.fileno(), False)  # also for the processes that it is handed to
        self.__setstate__((reader, writer))
        os.write(writer.fileno(), b"x")

    def __getstate__(self) -> tuple[Connection, Connection]:
        return self._reader, self._writer

    def __setstate__(self, state: tuple[Connection, Connection]) -> None:
        self._reader, self._writer = state
        self._owner: int | None = None
        self._count = 0

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take the lock.

        Args:
            block (bool): Whether to wait for it. Defaults to True.
            timeout (float, optional): Seconds to wait at most. Defaults to None: no limit.

        Returns:
            bool: Whether it was taken.
        """
        if self._owner != threading.get_ident():
            end = None if timeout is None else time.monotonic() + timeout
            while not self._take():
                left = None if end is None else end - time.monotonic()
                if not block or (left is not None and left <= 0):
                    return False
                wait([self._reader], left)
            self._owner = threading.get_ident()
        self._count += 1
        return True

    def release(self) -> None:
        """Release the lock, once for each time that it was acquired."""
        self._count -= 1
        if self._count == 0:
            self._owner = None
            os.write(self._writer.fileno(), b"x")

    def _take(self) -> bool:
        try:
            return bool(os.read(self._reader.fileno(), 1))
        except BlockingIOError:
            return False


class PipeLockContext(ForkServerContext):
    """Context that starts processes from a fork server, with :class:`PipeLock`."""

    def RLock(self) -> PipeLock:  # type: ignore[override]  # does what theirs does
        """Make a lock."""
        return PipeLock(self)
