"""What is left of a run whose launcher is gone: nothing. With real processes."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.paths import ROOT, TINY

CONFIG = f"""
_base_ = [{str(TINY / "tiny_config.py")!r}]
custom_imports = dict(imports=["cmac_mm", "tiny", "slow"], allow_failed_imports=False)
train_cfg = dict(max_epochs=10**6)
train_dataloader = dict(num_workers=1, persistent_workers=True)
default_hooks = dict(checkpoint=dict(type="SafeCheckpointHook", interval=10**6, save_best=None))
custom_hooks = [dict(type="PreemptionHook", interval=2), dict(type="SlowHook")]
val_cfg = val_dataloader = val_evaluator = None
"""
SLOW = """
import time
from mmaction.registry import HOOKS
from mmengine.hooks import Hook

@HOOKS.register_module()
class SlowHook(Hook):
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        print("step", flush=True)
        time.sleep(0.1)

    def before_test_iter(self, runner, batch_idx, data_batch=None):
        print("step", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def start(tmp_path):
    """Starts a command; returns it, when steps are made, with all processes it has started."""
    (tmp_path / "config.py").write_text(CONFIG)
    (tmp_path / "slow.py").write_text(SLOW)
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{TINY}:{tmp_path}",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    log = tmp_path / "log.txt"
    families = []

    def start(*command, ranks=2, **more):
        with log.open("w") as file:
            process = subprocess.Popen(
                [str(part) for part in command],
                cwd=tmp_path,
                env={**env, **more},
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        while log.read_text().count("step") < 2 * ranks:
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        families.append(family(process.pid))
        return process, families[-1]

    yield start
    for pid in {pid for pids in families for pid in alive(pids)}:
        os.kill(pid, signal.SIGKILL)


def family(pid):
    """A process and its descendants, each with what tells it from a later one of its number."""
    children = re.findall(r"\d+", Path(f"/proc/{pid}/task/{pid}/children").read_text())
    return {pid: born(pid)} | {p: b for child in children for p, b in family(int(child)).items()}


def born(pid):
    """When a process started; None if it is no more, or only waits for its parent to notice."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def alive(pids):
    return [pid for pid, since in pids.items() if born(pid) == since]


def wait_until_gone(pids):
    end = time.monotonic() + 15
    while alive(pids):
        assert time.monotonic() < end, [
            Path(f"/proc/{pid}/cmdline").read_text() for pid in alive(pids)
        ]
        time.sleep(0.1)


@pytest.mark.parametrize("victim", ["script", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_killed_launcher_takes_its_ranks_along(start, victim):
    process, pids = start("bash", ROOT / "tools/dist_train.sh", "config.py", 2)
    assert len(pids) >= 6  # the script, torchrun, two ranks with a loading process each
    os.kill(list(pids)[0 if victim == "script" else 1], signal.SIGKILL)
    wait_until_gone(pids)
    process.wait()


def test_hangup_saves_and_ends(start, tmp_path):
    """As when the SSH session ends."""
    process, pids = start("bash", ROOT / "tools/dist_train.sh", "config.py", 2)
    process.send_signal(signal.SIGHUP)
    assert process.wait(120) == 75
    wait_until_gone(pids)
    assert len(list(tmp_path.glob("work_dirs/config/iter_*.pth"))) == 1


@pytest.mark.slow
def test_hangup_is_ignored_under_nohup(start):
    process, pids = start("nohup", "bash", ROOT / "tools/dist_train.sh", "config.py", 2)
    os.killpg(process.pid, signal.SIGHUP)
    time.sleep(3)
    assert alive(pids) == list(pids)
    process.terminate()
    assert process.wait(120) == 75


@pytest.mark.slow
def test_killed_test_takes_its_ranks_along(start, tmp_path):
    process, _ = start("bash", ROOT / "tools/dist_train.sh", "config.py", 2)
    process.terminate()
    assert process.wait(120) == 75
    checkpoint = next(tmp_path.glob("work_dirs/config/iter_*.pth"))
    process, pids = start("bash", ROOT / "tools/dist_test.sh", "config.py", checkpoint, 2, ranks=1)
    assert len(pids) == 3
    process.kill()
    wait_until_gone(pids)
    process.wait()
