"""Processes that begin with everything imported."""

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


def fork(functions, path, cwd, env, timeout=300) -> tuple[list[int], str]:
    """Call functions, each in a process; returns the exit statuses and what all have printed.

    Where one fails the others are killed, and so are all when the time is over.
    """
    server = _server()
    reader, writer = os.pipe()
    server.send(([pickle.dumps(function) for function in functions], path, str(cwd), env))
    send_handle(server, writer, None)
    os.close(writer)
    pids = server.recv()
    codes, output, waiting = {}, b"", [server, reader]
    end = time.monotonic() + timeout
    try:
        while waiting:
            ready = wait(waiting, max(0, end - time.monotonic()))
            if not ready:
                raise subprocess.TimeoutExpired(str(functions), timeout, output)
            if reader in ready:
                piece = os.read(reader, 1 << 16)
                output += piece
                if not piece:
                    waiting.remove(reader)
            if server in ready:
                codes.update([server.recv()])
                if any(codes.values()):
                    _kill(set(pids) - set(codes))
                if len(codes) == len(pids):
                    waiting.remove(server)
    finally:
        os.close(reader)
        _kill(set(pids) - set(codes))
        for _ in range(len(pids) - len(codes)):
            server.recv()
    return [codes[pid] for pid in pids], output.decode()


def _kill(pids):
    for pid in pids:
        with suppress(ProcessLookupError):  # its end is on the way to us
            os.killpg(pid, signal.SIGKILL)


@cache
def _server() -> Connection:
    ours, theirs = Pipe()
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", START, ROOT / "tests", ROOT, theirs.fileno(), *MODULES]
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
