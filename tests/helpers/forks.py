"""Processes that begin with what they need imported."""

import atexit
import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import send_handle

from helpers.paths import ROOT

MODULES = ("cmac_mm.models", "cmac_mm.datasets", "cmac_mm.engine", "cmac_mm.apis.evaluate")
START = """
import sys
from multiprocessing.connection import Connection
tests, root, line, *modules = sys.argv[1:]
del sys.path[0]
sys.path.insert(0, tests)
from helpers.fork_server import serve
del sys.path[0]
serve(Connection(int(line)), modules, root)()
"""


class Forked:
    """Functions under way, each called in a process; with what tests use of `subprocess.Popen`.

    Where one fails the others are killed. What comes next needs the end of what was before.
    """

    _last = None

    def __init__(self, functions, path, cwd, env, modules=MODULES):
        if Forked._last is not None:
            Forked._last.kill()
        Forked._last = self
        self._server = _server(modules)
        self._output, writer = os.pipe()
        calls = [pickle.dumps(function) for function in functions]
        self._server.send((calls, path, str(cwd), env))
        send_handle(self._server, writer, None)
        os.close(writer)
        self._codes = dict.fromkeys(self._server.recv())
        self.pid = next(iter(self._codes))

    @property
    def returncode(self):
        """None while one is alive, else the first that is no success."""
        codes = self._codes.values()
        return None if None in codes else next(filter(None, codes), 0)

    def poll(self):
        while self.returncode is None and self._server.poll():
            self._note_end()
        return self.returncode

    def communicate(self, timeout=None):
        end = None if timeout is None else time.monotonic() + timeout
        output, waiting = b"", [self._output, self._server]
        try:
            while True:
                if self.poll() is not None and self._server in waiting:
                    waiting.remove(self._server)
                if not waiting:
                    return output.decode(), None
                ready = wait(waiting, end and max(0, end - time.monotonic()))
                if not ready:
                    raise subprocess.TimeoutExpired("forked processes", timeout, output)
                if self._output in ready:
                    piece = os.read(self._output, 1 << 16)
                    output += piece
                    if not piece:
                        waiting.remove(self._output)
        except BaseException:
            self.kill()  # and what it has started
            raise
        finally:
            os.close(self._output)

    def kill(self):
        self._kill(self._codes)
        while self.returncode is None:
            self._note_end()

    def _note_end(self):
        pid, code = self._server.recv()
        self._codes[pid] = code
        if code not in (0, 75):  # 75: asked to stop, and all of them do
            self._kill(other for other, end in self._codes.items() if end is None)

    def _kill(self, pids):
        for pid in pids:
            with suppress(ProcessLookupError):  # whose end is on the way to us
                os.killpg(pid, signal.SIGKILL)


@cache
def _server(modules) -> Connection:
    ours, theirs = Pipe()
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", START, ROOT / "tests", ROOT, theirs.fileno(), *modules]
    process = subprocess.Popen(
        [str(word) for word in command],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        start_new_session=True,  # nothing that a test has left behind
    )
    theirs.close()
    atexit.register(_end, ours, process)
    return ours


def _end(line, process):
    line.close()
    process.wait()
