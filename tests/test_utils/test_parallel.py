"""Items that hang, kill their process or raise cost nothing but their own result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cmac_mm.utils import Failure, run_parallel
from cmac_mm.utils.pipe_lock import PipeLock, PipeLockContext

BAD = {
    3: Failure("crashed", "its process died (SIGSEGV)"),
    5: Failure("timed out", "not done after 1.5 s"),
    7: Failure("failed", "ValueError: seven"),
    9: Failure("crashed", "its process died (exit status 3)"),
    11: Failure("failed", "TimeoutError: of its own"),
}


def work(item: int) -> int:
    if item == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == 5:
        time.sleep(1000)
    if item == 7:
        raise ValueError("seven")
    if item == 9:
        os._exit(3)
    if item == 11:
        raise TimeoutError("of its own")
    return item * item


@pytest.mark.parametrize("workers", [1, 2])
def test_each_item_has_its_result(workers):
    results = dict(run_parallel(work, range(25), workers=workers, timeout=1.5))
    assert results == {item: BAD.get(item, item * item) for item in range(25)}


def test_nothing_to_do():
    assert list(run_parallel(work, [])) == []


@pytest.mark.parametrize("wrong", [dict(workers=0), dict(timeout=0)])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        list(run_parallel(work, [1], **wrong))


SCRIPT = """
import os, time
from pathlib import Path
from cmac_mm.utils import run_parallel

def wait(folder):
    Path(folder, str(os.getpid())).touch()
    time.sleep(1000)

if __name__ == "__main__":
    try:
        list(run_parallel(wait, [FOLDER] * 5, workers=2, timeout=500))
    except KeyboardInterrupt:
        raise SystemExit("interrupted")
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc").exists(), reason="needs /proc to look for processes")
def test_no_process_is_left_behind(tmp_path):
    """Neither by Ctrl-C nor by a kill of the main process, while all workers hang."""
    deadline = time.monotonic() + 120
    runs = {}
    for kind in (signal.SIGINT, signal.SIGKILL):
        pids = tmp_path / kind.name
        pids.mkdir()
        script = tmp_path / f"{kind.name}.py"
        script.write_text(SCRIPT.replace("FOLDER", repr(str(pids))))
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(script)],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        runs[kind] = process, pids
    try:
        for kind, (process, pids) in runs.items():
            while len(list(pids.iterdir())) < 2 and time.monotonic() < deadline:
                time.sleep(0.05)
            workers = [int(path.name) for path in pids.iterdir()]
            assert len(workers) == 2
            # To the main process alone, not to its group.
            process.send_signal(kind)
            stderr = process.communicate(timeout=30)[1]
            if kind == signal.SIGINT:
                assert process.returncode == 1
                assert stderr.strip().endswith("interrupted")
                assert "Traceback" not in stderr
            while any(map(alive, workers)) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not any(map(alive, workers))
    finally:
        for process, _ in runs.values():
            process.kill()


@pytest.mark.skipif(not Path("/dev/shm").exists(), reason="needs /dev/shm")
def test_a_killed_run_leaves_no_shared_memory(tmp_path):
    """The whole process group at once, as a scheduler or `kill -9 -PGID` does it."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("FOLDER", repr(str(tmp_path))))
    before = set(Path("/dev/shm").iterdir())
    process = subprocess.Popen([sys.executable, script], start_new_session=True)
    while len(pids := [path for path in tmp_path.iterdir() if path.name.isdigit()]) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    ours = {str(process.pid), *(path.name for path in pids)}
    left = set(Path("/dev/shm").iterdir()) - before
    assert not [path for path in left if ours & set(path.name.split("-"))]


def hold(lock: PipeLock, out: str) -> None:
    with Path(out).open("a") as file:
        for _ in range(20):
            assert lock.acquire()
            assert lock.acquire(timeout=1)  # once more by the same thread
            for text in ("in ", "out\n"):
                file.write(text)
                file.flush()
                time.sleep(0.001)
            lock.release()
            lock.release()


def test_one_process_at_a_time_has_the_lock(tmp_path):
    context = PipeLockContext()
    lock = context.RLock()
    lock.acquire()
    out = tmp_path / "out.txt"
    processes = [context.Process(target=hold, args=(lock, str(out))) for _ in range(3)]
    for process in processes:
        process.start()
    time.sleep(0.2)
    assert not out.exists() or not out.read_text()
    lock.release()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert out.read_text() == "in out\n" * 60
    assert lock.acquire(block=False)
    taken = []
    thread = threading.Thread(target=lambda: taken.append(lock.acquire(timeout=0.1)))
    thread.start()
    thread.join()
    assert taken == [False]
