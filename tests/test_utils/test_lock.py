"""The lock on a work directory, with real processes."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from helpers.paths import ROOT

from cmac_mm.utils.lock import _this_process, lock_work_dir, may_be_alive, unlock_work_dir

# Holds the lock; a child that lives longer, as loading processes do, does not.
HOLD = """
import os, sys, time
from cmac_mm.utils.lock import lock_work_dir
lock_work_dir(sys.argv[1])
child = os.fork()
print(child or "", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", HOLD, str(tmp_path)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    lines = {process.stdout.readline().strip(), process.stdout.readline().strip()}
    child = int((lines - {""}).pop())
    yield process
    process.kill()
    process.wait()
    os.kill(child, signal.SIGKILL)


def test_a_second_writer_is_refused_until_the_first_dies(tmp_path, holder):
    with pytest.raises(ValueError, match="is in use") as info:
        lock_work_dir(tmp_path)
    for part in (str(tmp_path), f"process {holder.pid} ", socket.gethostname(), "run.lock"):
        assert part in str(info.value)
    holder.kill()
    holder.wait()
    lock_work_dir(tmp_path)  # its child still lives
    lock_work_dir(tmp_path / ".")
    assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
    unlock_work_dir(tmp_path)
    assert not list(tmp_path.iterdir())
    unlock_work_dir(tmp_path)


@pytest.mark.parametrize("text", ["", '{"host": "a', '{"host": "elsewhere", "pid": 1}', "[]"])
def test_what_nobody_holds_is_taken(tmp_path, text):
    (tmp_path / "run.lock").write_text(text)
    lock_work_dir(tmp_path)
    unlock_work_dir(tmp_path)


def test_without_locks_the_text_tells_who_is_alive(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    me = _this_process()
    assert may_be_alive(me)
    assert not may_be_alive({**me, "ticks": me["ticks"] - 1})  # the number was given anew
    process = subprocess.Popen(["sleep", "60"])
    process.kill()
    process.wait()
    assert not may_be_alive({**me, "pid": process.pid})
    assert may_be_alive({**me, "host": "elsewhere"})
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert may_be_alive({**me, "host": "elsewhere", "job": "6"})
    assert not may_be_alive({**me, "host": "elsewhere", "job": "7"})
