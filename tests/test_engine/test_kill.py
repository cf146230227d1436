"""`kill -9` at any moment, and `--resume`."""

import os
import random
import signal
import socket
import subprocess
import time

import pytest
import torch
from helpers.paths import ROOT
from helpers.processes import end, environment, kill, start_tool
from helpers.ranks import run_on_two_ranks, start_on_two_ranks
from helpers.tools_in_process import run_tool

CONFIG = """
_base_ = ["cmac_mm::demo/cmac_sounding-shapes.py"]
model = dict(queue_size=7)
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(ann_file="{shapes}/train.txt", data_prefix=dict(video="{shapes}")),
)
train_cfg = dict(max_epochs={epochs})
default_hooks = dict(checkpoint=dict(interval_iters=1))
custom_hooks = [dict(type="PreemptionHook", interval=2)]
"""


def arguments(shapes, work_dir, *options, epochs=2):
    config = shapes / f"config{epochs}.py"
    config.write_text(CONFIG.format(shapes=shapes, epochs=epochs))
    thin = ("visual_width=4", "audio_width=8", "filter_channels=16")
    options = [*options, "--cfg-options", *thin]
    return [str(config), "--seed", "3", "--work-dir", str(work_dir), *options]


def start(*args, epochs=2):
    return start_tool("train.py", *arguments(*args, epochs=epochs), cwd=ROOT)


def launch(*args, **env):
    """On two ranks."""
    config, *options = arguments(*args)
    return subprocess.Popen(
        ["bash", "tools/dist_train.sh", config, "2", *options],
        cwd=ROOT,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def final_state(work_dir, epochs):
    return torch.load(work_dir / f"epoch_{epochs}.pth", weights_only=False)["state_dict"]


def check(shapes, folder, kill_one, epochs=2):
    """A run that `kill_one(process, work_dir)` ends again and again ends in the same state."""
    run_tool("train.py", *arguments(shapes, folder / "at once", epochs=epochs))
    expected = final_state(folder / "at once", epochs)
    work_dir = folder / "killed"
    for number in range(100):
        process = start(shapes, work_dir, *(["--resume"] if number else []), epochs=epochs)
        if not kill_one(process, work_dir, number):
            break
    finished = (work_dir / f"epoch_{epochs}.pth").is_file()
    code, output = end(start(shapes, work_dir, "--resume", epochs=epochs))
    if finished:
        done = f"is finished: {epochs} of {epochs} epochs are done"
        assert code != 0 and done in output, output[-3000:]
    else:
        assert code == 0, output[-3000:]
    state = final_state(work_dir, epochs)
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

    check(shapes, tmp_path, kill_one, epochs=4)
    assert len(kills) == 20


def test_two_ranks_agree_on_where_to_stop(shapes, tmp_path):
    """Where one is asked to; dist_train.sh asks all of its ranks, see test_launchers."""
    process = start_on_two_ranks("train.py", *arguments(shapes, tmp_path), cwd=ROOT)
    wait_for("iter_*.pth", process, tmp_path)
    os.kill(process.pid, signal.SIGTERM)
    code, output = end(process)
    assert code == 75, output[-3000:]
    assert "leaving with exit code 75" in output
    words = arguments(shapes, tmp_path, "--resume")
    code, output = run_on_two_ranks("train.py", *words, cwd=ROOT)
    assert code == 0, output[-3000:]
    assert "Auto resumed from the latest checkpoint" in output
    assert (tmp_path / "epoch_2.pth").is_file()


@pytest.mark.slow
def test_two_nodes_on_one_machine(shapes, tmp_path):
    """Two launchers, one rendezvous: four ranks, of batch 1."""
    nodes = dict(NNODES="2", MASTER_ADDR="127.0.0.1", PORT=str(_free_port()))
    processes = [launch(shapes, tmp_path, NODE_RANK=str(rank), **nodes) for rank in (0, 1)]
    for process in processes:
        code, output = end(process)
        assert code == 0, output[-3000:]
    meta = torch.load(tmp_path / "epoch_2.pth", weights_only=False)["meta"]
    assert meta["iter"] == 2 * (10 // 8)


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
