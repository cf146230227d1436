"""Runs that meet in one work directory."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.paths import ROOT, TINY
from mmengine.runner import Runner

from cmac_mm.utils import load_config
from cmac_mm.utils.lock import unlock_work_dir

_count = itertools.count()


class Stop(Exception):
    pass


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Trains the tiny model in ``folder/work``; returns the runner."""
    monkeypatch.syspath_prepend(TINY)

    def train(resume=False, work_dir=tmp_path / "work", stop_after=None, **options):
        options = {key.replace("__", "."): value for key, value in options.items()}
        cfg = load_config(
            TINY / "tiny_config.py",
            {
                "work_dir": str(work_dir),
                "default_hooks.checkpoint": dict(
                    type="SafeCheckpointHook",
                    interval=1,
                    interval_iters=1,
                    max_keep_ckpts=2,
                    save_best=None,
                ),
                "resume": bool(resume),
                "load_from": None if resume is True or not resume else str(resume),
                "train_cfg.max_epochs": 3,
                "randomness": dict(seed=1),
                **options,
            },
        )
        cfg.experiment_name = f"identity_{next(_count)}"
        runner = Runner.from_cfg(cfg)
        if stop_after is not None:
            step = runner.model.train_step

            def counted(*args, **kwargs):
                if runner.iter == stop_after:
                    raise Stop
                return step(*args, **kwargs)

            runner.model.train_step = counted
        try:
            runner.train()
        except Stop:
            unlock_work_dir(work_dir)
        return runner

    return train


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


def meta(path):
    return torch.load(path, weights_only=False)["meta"]


def names(folder):
    return sorted(path.name for path in folder.glob("*.pth"))


def log(runner):
    return (Path(runner.log_dir) / f"{runner.timestamp}.log").read_text()


def without_id(path, target):
    """Copy a checkpoint as a version before ids would have written it."""
    content = torch.load(path, weights_only=False)
    del content["meta"]["run"]
    torch.save(content, target)


def test_checkpoints_and_folder_name_the_run(train, work):
    train()
    run = meta(work / "epoch_3.pth")["run"]
    assert len(run["id"]) == 12
    assert meta(work / "iter_12.pth")["run"] == run
    assert (work / "run.json").read_text() == (
        f'{{\n  "id": "{run["id"]}",\n  "started": "{run["started"]}"\n}}\n'
    )
    assert not (work / "run.lock").exists()


def test_new_run_where_another_one_is_is_refused(train, work):
    train()
    before = {path.name: path.read_bytes() for path in work.glob("*.pth")}
    assert sorted(before) == ["epoch_2.pth", "epoch_3.pth", "iter_11.pth", "iter_12.pth"]
    with pytest.raises(ValueError, match="would mix") as info:
        train()
    run = meta(work / "epoch_3.pth")["run"]
    for part in (str(work), *before, run["id"], run["started"], "--resume", "--work-dir", "move"):
        assert part in str(info.value)
    assert {path.name: path.read_bytes() for path in work.glob("*.pth")} == before
    for path in work.glob("*.pth"):
        path.unlink()
    train(stop_after=1)
    assert meta(work / "iter_1.pth")["run"]["id"] != run["id"]


def test_rounds_of_clustering_are_a_runs_files_too(train, work):
    train(stop_after=0)
    (work / "clustering").mkdir()
    (work / "clustering/round_00.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds clustering/round_00\.npz of run"):
        train()
    train(resume=True, stop_after=1)


def test_finished_run_is_resumed_only_for_more_epochs(train, work):
    train()
    before = names(work)
    with pytest.raises(ValueError, match=r"is finished: 3 of 3 epochs .* raise train_cfg") as info:
        train(resume=True)
    assert names(work) == before
    run = meta(work / "epoch_3.pth")["run"]
    assert run["id"] in str(info.value)
    runner = train(resume=True, train_cfg__max_epochs=4)
    assert f"Resuming run {run['id']}, started {run['started']}, at epoch 3, iteration 12" in log(
        runner
    )
    assert meta(work / "epoch_4.pth")["run"] == run


def test_killed_before_the_first_checkpoint(train, work):
    train(stop_after=0)
    text = (work / "run.json").read_text()
    runner = train(resume=True, stop_after=1)
    assert (work / "run.json").read_text() == text
    assert f"No checkpoint to resume from in {work}" in log(runner)
    assert meta(work / "iter_1.pth")["run"]["id"] in text
    (work / "iter_1.pth").unlink()
    train(stop_after=0)
    assert (work / "run.json").read_text() != text


def test_only_own_checkpoints_are_removed(train, work):
    """Of two that no run claims, one has a higher number than all of the run's, one a lower."""
    train(stop_after=5)
    without_id(work / "epoch_1.pth", work / "iter_99.pth")
    without_id(work / "epoch_1.pth", work / "epoch_0.pth")
    train(resume=True)
    assert names(work) == [
        *("epoch_0.pth", "epoch_2.pth", "epoch_3.pth"),
        *("iter_12.pth", "iter_13.pth", "iter_99.pth"),
    ]


def test_checkpoints_of_several_runs_are_refused(train, work, tmp_path):
    train(stop_after=5)
    train(work_dir=tmp_path / "other", stop_after=9)
    (tmp_path / "other/epoch_2.pth").rename(work / "epoch_2.pth")
    with pytest.raises(ValueError, match=r"other runs .*epoch_1\.pth \(run .*move them away"):
        train(resume=True)
    assert len(names(work)) == 4


def test_going_back_is_refused_where_later_checkpoints_are(train, work, tmp_path):
    train()
    with pytest.raises(ValueError, match=r"later checkpoints .* 8 iterations: epoch_3\.pth, iter_"):
        train(resume=work / "epoch_2.pth")
    other = tmp_path / "other"
    train(resume=work / "epoch_2.pth", work_dir=other)
    assert meta(other / "epoch_3.pth")["run"] == meta(work / "epoch_3.pth")["run"]


def test_run_of_a_version_without_ids_goes_on(train, work):
    train(stop_after=5)
    for path in work.glob("*.pth"):
        without_id(path, path)
    (work / "run.json").unlink()
    runner = train(resume=True)
    assert "Resuming a run without an id" in log(runner)
    assert "run" in meta(work / "epoch_3.pth")
    assert "epoch_1.pth" in names(work)


def test_damaged_later_checkpoint_is_no_hindrance(train, work):
    train(stop_after=6)
    content = bytearray((work / "iter_6.pth").read_bytes())
    content[content.index(b"layers.0.weight") // 2 + len(content) // 2] ^= 1
    (work / "iter_6.pth").write_bytes(content)
    train(resume=True)
    assert names(work) == ["epoch_2.pth", "epoch_3.pth", "iter_12.pth", "iter_13.pth"]


def test_second_process_is_refused(train, work):
    code = (
        "import sys, time\nfrom cmac_mm.utils.lock import lock_work_dir\n"
        f"lock_work_dir({str(work)!r})\nprint(flush=True)\ntime.sleep(60)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
    process.stdout.readline()
    for resume in (False, True):
        with pytest.raises(ValueError, match=f"is in use: process {process.pid} on host"):
            train(resume=resume)
    process.kill()
    process.wait()
    train(stop_after=1)


def test_changed_config_is_reported_with_what_holds(train, work):
    train(stop_after=5)
    assert "The config differs" not in log(train(resume=True, stop_after=6))
    runner = train(
        resume=True,
        stop_after=7,
        optim_wrapper__optimizer__lr=0.5,
        optim_wrapper__optimizer__weight_decay=0.1,
        param_scheduler__1__milestones=[2],
        train_dataloader__batch_size=2,
        optim_wrapper__clip_grad=dict(max_norm=9),
    )
    text = log(runner)
    start = text.index("The config differs from the checkpoint's")
    assert text[start:].split("\n")[1:5] == [
        "  optim_wrapper.optimizer.lr: 0.05 -> 0.5 (the checkpoint's holds)",
        "  optim_wrapper.optimizer.weight_decay: not set -> 0.1 (the checkpoint's holds)",
        "  param_scheduler.1.milestones: [1] -> [2] (the checkpoint's holds)",
        "  optim_wrapper.clip_grad.max_norm: not set -> 9 (the config's holds)",
    ]
    assert text.count("The config differs") == 1
    group = runner.optim_wrapper.optimizer.param_groups[0]
    assert (group["initial_lr"], group["weight_decay"]) == (0.05, 0)
    assert list(runner.param_schedulers[1].milestones) == [1]
    assert runner.optim_wrapper.clip_grad_kwargs == dict(max_norm=9)


@pytest.mark.parametrize("key", ["config", "cfg"])
def test_no_text_of_a_checkpoint_is_run(train, work, tmp_path, key):
    train(stop_after=4)
    content = torch.load(work / "epoch_1.pth", weights_only=False)
    content["meta"][key] = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n"
    torch.save(content, work / "epoch_1.pth")
    train(resume=True, stop_after=5)
    assert not (tmp_path / "ran").exists()
