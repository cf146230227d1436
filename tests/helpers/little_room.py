"""A disk that is full, by the system's limit on the size of a file."""

from __future__ import annotations

import io
import multiprocessing
import os
import resource
import sys
from collections.abc import Callable


def with_room_for(size: int, function: Callable[[], object]) -> object:
    """What a function returns, or the error that it ends in, where no file may be larger."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr = io.StringIO()  # pytest's are files
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            result = function()
        except BaseException as error:
            result = RuntimeError(f"{type(error).__name__}: {error}")
        sender.send(result)
        os._exit(0)
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        return None
    finally:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == 0, f"the process ended with {code}"
