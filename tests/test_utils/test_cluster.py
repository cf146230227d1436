"""A real Dask scheduler and three real workers on loopback, of which some are killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from helpers.media_tools import write_video
from helpers.processes import PATHS, environment

from cmac_mm.preparation import prepare_videos, scan_videos
from cmac_mm.utils import Failure, run_parallel

pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Cluster:
    def __init__(self, folder: Path, workers: int = 3) -> None:
        self.file = folder / "scheduler.json"
        self.folder = folder
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        words = ["worker", "--nthreads", "1", "--no-nanny", "--local-directory", str(folder)]
        self.workers = [self._start(*words) for _ in range(workers)]
        from distributed import Client

        with Client(scheduler_file=str(self.file), timeout=120) as client:
            client.wait_for_workers(workers, timeout=120)
            self.address = client.scheduler.address

    def _start(self, *words: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", *words]
        command += ["--scheduler-file", str(self.file), "--no-dashboard"]
        return subprocess.Popen(
            command,
            env=environment(PYTHONPATH=os.pathsep.join(PATHS)),
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    started = Cluster(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def videos(tmp_path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "v_000.mp4", seconds=1, flashes=(3, 13))
    content = (folder / "v_000.mp4").read_bytes()
    for number in range(1, 40):
        (folder / f"v_{number:03d}.mp4").write_bytes(content if number % 8 else content[:500])
    return folder


def _kill_after(lines: int, path: Path, process: subprocess.Popen) -> threading.Thread:
    """Kill a process when a table has some lines."""

    def watch() -> None:
        while not (path.is_file() and path.read_bytes().count(b"\n") >= lines):
            time.sleep(0.02)
        process.kill()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_checking_gives_what_it_gives_here_also_when_a_worker_is_killed(cluster, videos, tmp_path):
    scan_videos(videos, tmp_path / "here.txt", workers=2)
    killed = _kill_after(4, tmp_path / "there.csv.part", cluster.workers[0])
    summary = scan_videos(videos, tmp_path / "there.txt", scheduler=cluster.address)
    killed.join(10)
    assert cluster.workers[0].wait(10) == -9
    assert summary.verdicts["ok"] == 36 and len(summary.reports) == 40
    for suffix in ("txt", "csv"):
        here, there = (tmp_path / f"{name}.{suffix}" for name in ("here", "there"))
        assert here.read_bytes() == there.read_bytes()


def test_preparing_gives_what_it_gives_here(cluster, videos, tmp_path):
    for name, options in (("here", dict(workers=2)), ("there", dict(scheduler=cluster.address))):
        summary = prepare_videos(videos, tmp_path / name, **options)
        assert summary.counts == {"prepared": 36, "unusable": 4}
    files = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert len(files) == 36 + 3
    for path in files:
        other = tmp_path / "there" / path.relative_to(tmp_path / "here")
        assert other.read_bytes() == path.read_bytes(), path.name


def test_hangs_and_crashes_cost_their_item(cluster):
    items = [0, 0.1, 100, 0.2]
    found = dict(run_parallel(time.sleep, items, timeout=3, scheduler=cluster.address))
    assert found == {0: None, 0.1: None, 0.2: None, 100: Failure("timed out", "not done after 3 s")}
    ((_, crashed),) = run_parallel(os._exit, [3], scheduler=cluster.address)
    assert crashed == Failure("crashed", "its process died (exit status 3)")
    ((_, failed),) = run_parallel(int, ["x"], scheduler=cluster.address)
    assert failed.kind == "failed" and failed.reason.startswith("ValueError: invalid literal")


def test_a_lost_scheduler_and_none_are_told(cluster, tmp_path):
    results = run_parallel(time.sleep, [0.3] * 100, scheduler=cluster.address)
    next(results)
    cluster.scheduler.kill()
    with pytest.raises(RuntimeError, match=r"tcp://.*: the scheduler is lost; the same command"):
        list(results)
