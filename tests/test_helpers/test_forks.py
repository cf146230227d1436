"""A script that is forked from a process that has imported everything is as one that starts."""

import os
import subprocess
import sys
import time

import pytest
from helpers.processes import run

SCRIPT = """
import atexit, os, signal, sys, threading
import __main__

print(sys.argv, os.getcwd(), sorted(os.environ.items()), list(filter(None, sys.path)))
print(__name__, __file__, __main__.os is os, len(os.listdir("/proc/self/task")))
print(sys.stdin.read(), os.isatty(1), sys.stdout.line_buffering)
print(sorted(os.listdir("/proc/self/fd")))
print([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)])
atexit.register(print, "at exit")
threading.Timer(0.2, print, ["a thread ends before"]).start()
if sys.argv[1] == "number":
    sys.exit(75)
if sys.argv[1] == "text":
    sys.exit("a message")
if sys.argv[1] == "error":
    raise KeyError("missing")
if sys.argv[1] == "killed":
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("way", ["end", "number", "text", "error", "killed"])
def test_is_as_one_that_starts(tmp_path, way):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    started, forked = (
        run(sys.executable, path, way, cwd=tmp_path, OTHER="x", fresh=fresh)
        for fresh in (True, False)
    )
    for result in (started, forked):
        code, output = result
        assert code == dict(end=0, number=75, text=1, error=1, killed=-9)[way], output
    outputs = [output.splitlines() for _, output in (started, forked)]
    if way == "error":  # a traceback of other lines
        outputs = [[*lines[:4], *lines[-3:]] for lines in outputs]
    assert outputs[0] == outputs[1]


def test_time_is_limited_for_what_it_starts_too(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(
        "import os, time\n"
        "child = os.fork()\n"
        "print('printed', os.getpid(), flush=True) if child else time.sleep(60)\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(subprocess.TimeoutExpired) as info:
        run(sys.executable, path, cwd=tmp_path, timeout=1)
    word, pid = info.value.output.decode().split()
    assert word == "printed"
    end = time.monotonic() + 5
    while True:
        try:
            os.killpg(int(pid), 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < end
    assert run(sys.executable, "-c", "print(1)", cwd=tmp_path) == (0, "1\n")
    path.write_text("print(2)")
    assert run(sys.executable, path, cwd=tmp_path) == (0, "2\n")
