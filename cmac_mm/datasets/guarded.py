"""Functions that may hang or crash in a C library, run in a child process that is replaced."""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import random
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]  # no stub
from multiprocessing.util import Finalize
from typing import Any

import numpy as np
import torch

# Of virtual memory; only what results fill is ever used. Larger ones take the slower way.
_BLOCK_BYTES = 1 << 26
_PR_SET_PDEATHSIG = 1
_FATAL = ("SIGTERM", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT")
# How long a killed process may take to go, in seconds.
_PATIENCE = 5.0


class ProcessLost(RuntimeError):
    """Error of a guarded process that hung or died."""


class Guard:
    """Caller of a function in a child process, which may hang or die without harm to this one.

    A hang inside a C library cannot be interrupted, a crash there not be survived, and a
    DataLoader does not replace a worker that is lost. So the child is what is killed and replaced.
    It is forked at the first call, as a copy of the calling process at that moment, and serves all
    later calls from the same thread with the same function. It dies with its parent, and when this
    object goes.

    Tensors and arrays in the result come through shared memory; they are the caller's own. An
    exception of the function is raised here, with the child's traceback as its cause.

    A child starts with random generators (``random``, NumPy, PyTorch) seeded by the state of this
    process's NumPy generator, which stays as it is, and the number of children before it. So a
    replaced child does not repeat the draws of the one before, and the same seed gives the same
    results.

    Copies and pickles share nothing but the time limit.

    Args:
        time_limit (float): Seconds that a call may take before the child is killed.
    """

    def __init__(self, time_limit: float) -> None:
        if not time_limit > 0:
            raise ValueError(f"time_limit must be positive, not {time_limit}")
        if sys.platform != "linux":
            raise ValueError("time_limit needs Linux; leave it None elsewhere")
        self.time_limit = time_limit
        # A child dies with the thread that forked it, so each thread has its own.
        self._local = threading.local()

    def __reduce__(self) -> tuple:
        return Guard, (self.time_limit,)

    def __call__(self, function: Callable[[Any], Any], argument: object) -> Any:
        """Call ``function(argument)`` in the child process and return its result.

        Args:
            function (Callable): What the child calls, now and whenever it serves this thread.
            argument (object): Its argument, which must be picklable.

        Raises:
            ProcessLost: The child died, or took longer than the time limit and was killed.
        """
        child: _Child | None = getattr(self._local, "child", None)
        if child is None or not child.alive():
            births = self._local.births = getattr(self._local, "births", 0) + 1
            child = self._local.child = _Child(function, births)
        try:
            succeeded, result = child.ask(argument, self.time_limit)
        except BaseException:
            # An answer that comes later must never be taken for that of the next question.
            self._local.child = None
            child.end()
            raise
        if succeeded:
            return result
        raise result


class _Child:
    """A process that answers one question after the other."""

    def __init__(self, function: Callable[[Any], Any], births: int) -> None:
        self._owner = os.getpid()
        self._block = mmap.mmap(-1, _BLOCK_BYTES)
        self._connection, theirs = Pipe()
        state = np.random.get_state()
        seed = np.random.SeedSequence([*np.random.bytes(16), births])
        np.random.set_state(state)
        prctl = ctypes.CDLL(None).prctl
        sys.stdout.flush()
        sys.stderr.flush()
        with warnings.catch_warnings():
            # The other thread of a DataLoader's worker only sends; nothing of it is used here.
            warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
            self._pid = os.fork()
        if self._pid == 0:
            self._connection.close()
            _live(self._owner, prctl, seed, function, theirs, self._block)
        theirs.close()
        # Also runs at the end of a DataLoader's worker, and never in a process forked from this.
        self.end = Finalize(self, _end, args=(self._pid,), exitpriority=0)

    def alive(self) -> bool:
        """Whether it is this process's child, and living."""
        if self._owner != os.getpid():
            return False
        # Where SIGCHLD is ignored, the system takes dead children away by itself.
        with suppress(ChildProcessError):
            if os.waitpid(self._pid, os.WNOHANG) == (0, 0):
                return True
        # The number may soon be that of another process.
        self.end.cancel()
        return False

    def ask(self, argument: object, time_limit: float) -> tuple[bool, Any]:
        """Whether the function succeeded, and its result or exception."""
        try:
            self._connection.send(argument)
            if not self._connection.poll(time_limit):
                raise ProcessLost(f"hung for more than {time_limit:g} s")
            return _receive(self._connection, self._block)
        except (EOFError, ConnectionError) as error:
            raise ProcessLost(_explain(self.end())) from error


def _live(
    parent: int,
    prctl: Callable[[int, int], int],
    seed: np.random.SeedSequence,
    function: Callable[[Any], Any],
    connection: Connection,
    block: mmap.mmap,
) -> None:
    """The whole life of a child; does not return."""
    status = 1
    try:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
        # Ctrl-C is for the parent. The handlers of a DataLoader would report crashes as its own.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for name in _FATAL:
            signal.signal(signal.Signals[name], signal.SIG_DFL)
        # The threads that the parent's libraries compute with were not copied.
        torch.set_num_threads(1)
        number = int(seed.generate_state(1)[0])
        random.seed(number)
        np.random.seed(number)
        torch.manual_seed(number)
        _serve(function, connection, block)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        # Nothing that the parent has set up for its own end may run.
        os._exit(status)


def _serve(function: Callable[[Any], Any], connection: Connection, block: mmap.mmap) -> None:
    while True:
        try:
            argument = connection.recv()
        except EOFError:
            return
        try:
            answer = _pickle((True, function(argument)), len(block))
        except Exception as error:
            answer = _pickle((False, _portable(error)), 0)
        _send(connection, block, *answer)


def _portable(error: Exception) -> ExceptionWithTraceback:
    """The exception with its traceback as text; another type where it cannot be pickled."""
    portable = ExceptionWithTraceback(error, error.__traceback__)
    # The text has them all. Dask, once imported, has causes pickled too, with the files they hold.
    error.__cause__ = error.__context__ = error.__traceback__ = None
    try:
        pickle.loads(pickle.dumps(portable))
    except Exception:  # a local class, say: its name, its message and the traceback still arrive
        portable.exc = RuntimeError(f"{type(error).__name__}: {error}")
    return portable


class _Pickler(pickle.Pickler):
    """Hands over the memory of tensors as it does that of arrays: apart from the pickle."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is torch.Tensor and not value.requires_grad:
            # Not all types have their like in NumPy; these go into the pickle.
            with suppress(TypeError):
                return torch.from_numpy, (value.numpy(),)
        return NotImplemented


def _pickle(answer: tuple[bool, Any], room: int) -> tuple[bytes, list[memoryview]]:
    """The pickle and, as far as they have room, the buffers that go beside it."""
    buffers: list[pickle.PickleBuffer] = []
    stream = BytesIO()
    _Pickler(stream, protocol=5, buffer_callback=buffers.append).dump(answer)
    raw = [buffer.raw() for buffer in buffers]
    if sum(_padded(part.nbytes) for part in raw) > room:
        return pickle.dumps(answer, protocol=5), []
    return stream.getvalue(), raw


def _padded(size: int) -> int:
    """Size up to the next place where the fastest instructions may start."""
    return -(-size // 64) * 64


def _send(
    connection: Connection, block: mmap.mmap, pickled: bytes, buffers: list[memoryview]
) -> None:
    spans, place = [], 0
    for buffer in buffers:
        block[place : place + buffer.nbytes] = buffer
        spans.append((place, buffer.nbytes))
        place += _padded(buffer.nbytes)
    connection.send((spans, pickled))


def _receive(connection: Connection, block: mmap.mmap) -> tuple[bool, Any]:
    spans, pickled = connection.recv()
    copies = [np.frombuffer(block, np.uint8, size, start).copy() for start, size in spans]
    return pickle.loads(pickled, buffers=copies)


def _end(pid: int) -> int | None:
    """Kill a child; returns its status, as of ``waitpid``, if it has gone."""
    try:
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + _PATIENCE
        # Not for ever: a process stuck in a call to a dead file server cannot even be killed.
        while time.monotonic() < deadline:
            gone, status = os.waitpid(pid, os.WNOHANG)
            if gone:
                return status
            time.sleep(0.001)
    except (ProcessLookupError, ChildProcessError):
        pass
    return None


def _explain(status: int | None) -> str:
    if status is None:
        return "died"
    if not os.WIFSIGNALED(status):
        return f"exited with status {os.WEXITSTATUS(status)}"
    name = signal.Signals(os.WTERMSIG(status)).name
    hint = ", out of memory?" if name == "SIGKILL" else ""
    return f"died (signal {os.WTERMSIG(status)}, {name}{hint})"
