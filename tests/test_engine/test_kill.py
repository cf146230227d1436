"""`kill -9` at any moment, and `--resume`."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


def command(shapes, work_dir, *options):
    fields = {
        "model.queue_size": 7,
        "train_dataloader.batch_size": 2,
        "train_dataloader.num_workers": 1,
        "train_dataloader.dataset.ann_file": f"{shapes}/train.txt",
        "train_dataloader.dataset.data_prefix.video": shapes,
        "train_cfg.max_epochs": 4,
        "default_hooks.checkpoint.interval_iters": 1,
        "custom_hooks": "[]",
    }
    pairs = [f"{key}={value}" for key, value in fields.items()]
    return [
        *(sys.executable, "-W", "ignore", "tools/train.py"),
        *("configs/demo/cmac_sounding-shapes.py", "--seed", "3", "--work-dir", str(work_dir)),
        *options,
        *("--cfg-options", *pairs),
    ]


def start(*args):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command(*args),
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def final_state(work_dir):
    return torch.load(work_dir / "epoch_4.pth", weights_only=False)["state_dict"]


def finish(shapes, work_dir, *options):
    process = start(shapes, work_dir, *options)
    output, _ = process.communicate()
    assert process.returncode == 0, output[-3000:]
    return final_state(work_dir)


def check(shapes, folder, kill_one):
    """A run that `kill_one(process, work_dir)` ends again and again ends in the same state."""
    expected = finish(shapes, folder / "at once")
    work_dir = folder / "killed"
    for number in range(100):
        process = start(shapes, work_dir, *(["--resume"] if number else []))
        if not kill_one(process, work_dir, number):
            break
    state = finish(shapes, work_dir, "--resume")
    for key, value in expected.items():
        assert torch.equal(value, state[key]), key
    assert not list(work_dir.glob(".*.part"))


def wait_for(pattern, process, work_dir):
    while process.poll() is None and not list(work_dir.glob(pattern)):
        time.sleep(0.001)


def test_killed_while_a_checkpoint_is_written(shapes, tmp_path):
    """Twice: the half file is left beside the last complete one, and does no harm."""

    def kill_one(process, work_dir, number):
        if number == 2:
            kill(process)
            return False
        wait_for(".iter_*.part", process, work_dir)
        kill(process)
        return True

    check(shapes, tmp_path, kill_one)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_twenty_random_moments(shapes, tmp_path):
    """Some during start-up, most in training or while a checkpoint is written."""
    draw = random.Random(0)
    kills = []

    def kill_one(process, work_dir, number):
        if number == 20:
            kill(process)
            return False
        if number % 4:
            # Until training makes checkpoints; then it has about one a second.
            before = {path.name for path in work_dir.glob("*.pth")}
            while process.poll() is None and {p.name for p in work_dir.glob("*.pth")} <= before:
                time.sleep(0.01)
        time.sleep(draw.uniform(0, 2))
        kills.append((number, sorted(path.name for path in work_dir.glob("iter_*"))))
        ended = process.poll() is not None
        if not ended:
            kill(process)
        return True

    check(shapes, tmp_path, kill_one)
    assert len(kills) == 20
