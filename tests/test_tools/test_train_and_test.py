"""tools/train.py, tools/test.py and the launch scripts, as a user runs them."""

import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch
from helpers.paths import ROOT, TINY, TOOLS
from helpers.processes import run, run_tool
from helpers.tools_in_process import load_tool
from mmengine.config import Config

from cmac_mm.utils import write_checkpoint


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two epochs in one go, and again after the first as if interrupted; in folders with spaces."""
    folder = tmp_path_factory.mktemp("some where")
    args = [TINY / "tiny_config.py", "--seed", "3", "--cfg-options", "train_cfg.max_epochs=2"]
    code, output = run_tool("train.py", *args, "--work-dir", "at once", cwd=folder)
    assert code == 0, output
    resumed = folder / "resumed"
    resumed.mkdir()
    shutil.copy(folder / "at once/epoch_1.pth", resumed)
    (resumed / "last_checkpoint").write_text(str(resumed / "epoch_1.pth"))
    code, output = run_tool("train.py", *args, "--work-dir", "resumed", "--resume", cwd=folder)
    assert code == 0, output
    assert "resumed epoch: 1, iter: 4" in output
    return folder


def test_resuming_continues_exactly(trained):
    at_once, resumed = (
        torch.load(trained / name / "epoch_2.pth", weights_only=False)
        for name in ("at once", "resumed")
    )
    for part in ("state_dict", "ema_state_dict"):
        torch.testing.assert_close(resumed[part], at_once[part], rtol=0, atol=0)
    optimizers = [content["optimizer"] for content in (at_once, resumed)]
    assert optimizers[0]["param_groups"] == optimizers[1]["param_groups"]
    torch.testing.assert_close(optimizers[0]["state"], optimizers[1]["state"], rtol=0, atol=0)
    assert resumed["param_schedulers"] == at_once["param_schedulers"]
    losses = [
        content["message_hub"]["log_scalars"]["train/loss"].data[0].tolist()
        for content in (at_once, resumed)
    ]
    assert losses[0] == losses[1]
    assert len(losses[1]) == 8


def test_test_gives_the_metric_of_the_checkpoint(trained):
    dump = trained / "predictions.pkl"
    args = [TINY / "tiny_config.py", "at once/epoch_2.pth", "--dump", dump]
    code, output = run_tool("test.py", *args, "--work-dir", "test", cwd=trained)
    assert code == 0, output
    predictions = pickle.loads(dump.read_bytes())
    accuracy = sum(int(p["scores"].argmax() == p["label"]) for p in predictions) / 8
    assert len(predictions) == 8
    assert f"tiny/accuracy: {accuracy:.4f}" in output


def test_test_refuses_a_checkpoint_with_missing_weights(trained, tmp_path):
    checkpoint = torch.load(trained / "at once/epoch_2.pth", weights_only=False)
    # With an average of the weights, as here, state_dict is the average.
    del checkpoint["state_dict"]["layers.2.weight"]
    del checkpoint["ema_state_dict"]["module.layers.2.weight"]
    torch.save(checkpoint, tmp_path / "part.pth")
    args = [TINY / "tiny_config.py", tmp_path / "part.pth"]
    code, output = run_tool("test.py", *args, cwd=tmp_path)
    assert code != 0
    assert "missing keys in source state_dict: layers.2.weight" in output


def merged(monkeypatch, *args, **fields):
    """The config after train.py has merged its command line."""
    monkeypatch.setattr(sys, "argv", ["train.py", str(TINY / "tiny_config.py"), *args])
    monkeypatch.setenv("LOCAL_RANK", "0")
    train = load_tool("train.py")
    cfg = train.load_config(TINY / "tiny_config.py") if not fields else Config(fields)
    train.merge_args(cfg, train.parse_args())
    return cfg


def test_train_flags(monkeypatch):
    monkeypatch.syspath_prepend(TINY)
    cfg = merged(monkeypatch)
    assert cfg.work_dir == str(Path("work_dirs/tiny_config"))
    assert cfg.randomness == {"seed": None}
    assert not cfg.resume
    assert cfg.val_cfg is not None

    cfg = merged(
        monkeypatch, "--seed", "0", "--diff-rank-seed", "--deterministic", "--amp", "--no-validate"
    )
    assert cfg.randomness == {"seed": 0, "diff_rank_seed": True, "deterministic": True}
    assert cfg.optim_wrapper.type == "BFloat16OptimWrapper"
    assert cfg.val_cfg is cfg.val_dataloader is cfg.val_evaluator is None

    cfg = merged(monkeypatch, "--amp", "fp16")
    assert cfg.optim_wrapper.type == "AmpOptimWrapper"
    assert cfg.optim_wrapper.loss_scale == "dynamic"

    cfg = merged(monkeypatch, "--auto-scale-lr", "--resume", "--work-dir", "x y")
    assert cfg.auto_scale_lr.enable
    assert cfg.work_dir == "x y"
    assert (cfg.resume, cfg.load_from) == (True, None)
    path = str(TINY / "tiny_config.py")
    cfg = merged(monkeypatch, "--resume", path)
    assert (cfg.resume, cfg.load_from) == (True, path)


def test_resume_before_the_first_checkpoint_starts_from_other_weights(tmp_path, monkeypatch):
    """As does a job that the scheduler starts again: CMA from AVID, not from nothing."""
    fields = {"load_from": "avid.pth", "work_dir": str(tmp_path)}
    cfg = merged(monkeypatch, "--resume", **fields)
    assert (cfg.get("resume", False), cfg.load_from) == (False, "avid.pth")
    write_checkpoint(tmp_path / "epoch_1.pth", {"a": torch.ones(1)}, dict(iter=3, epoch=1))
    cfg = merged(monkeypatch, "--resume", **fields)
    assert (cfg.resume, cfg.load_from) == (True, None)


@pytest.mark.parametrize(
    ("args", "fields", "message"),
    [
        (["--resume", "nowhere.pth"], {}, "checkpoint nowhere.pth does not exist"),
        (["--auto-scale-lr"], {"work_dir": "x"}, "auto_scale_lr.base_batch_size"),
        (["--amp"], {"optim_wrapper": {"type": "ApexOptimWrapper"}}, "is ApexOptimWrapper"),
    ],
)
def test_train_refuses_flags_that_do_not_fit(monkeypatch, args, fields, message):
    monkeypatch.syspath_prepend(TINY)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        merged(monkeypatch, *args, **fields)


@pytest.fixture(scope="module")
def trained_on_two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two ranks")
    args = [TINY / "tiny_config.py", 2, "--work-dir", "work dir"]
    code, output = run("bash", ROOT / "tools/dist_train.sh", *args, cwd=folder)
    assert code == 0, output
    return folder, output


def test_dist_train_on_two_cpu_ranks(trained_on_two_ranks):
    folder, output = trained_on_two_ranks
    assert "epoch 1/1, 100 %" in output
    state = torch.load(folder / "work dir/epoch_1.pth", weights_only=False)["state_dict"]
    # Two steps of rank 0; averaged over the ranks it would be 3.
    assert state["queue"].tolist() == [2, 2, 2]


def test_dist_test_agrees_with_test(trained_on_two_ranks):
    folder, _ = trained_on_two_ranks
    args = [TINY / "tiny_config.py", "work dir/epoch_1.pth"]
    code, one = run_tool("test.py", *args, cwd=folder)
    assert code == 0, one
    code, two = run("bash", ROOT / "tools/dist_test.sh", *args, 2, cwd=folder)
    assert code == 0, two
    metric = [output.partition("tiny/accuracy: ")[2].split()[0] for output in (one, two)]
    assert metric[0] == metric[1]


@pytest.mark.parametrize("script", ["dist_train.sh", "dist_test.sh", "slurm_train.sh"])
def test_launch_scripts_show_their_usage(script, tmp_path):
    code, output = run("bash", TOOLS / script, cwd=tmp_path)
    assert code == 2
    assert output.startswith(f"usage: bash tools/{script}")


def programs(folder, **scripts):
    """Stand-ins for the programs of a cluster, which note what they are given."""
    for name, text in scripts.items():
        path = folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {name}.txt\n{text}\n')
        path.chmod(0o755)
    return f"{folder / 'bin'}:{os.environ['PATH']}"


@pytest.mark.parametrize(("ends_with", "requeued"), [(0, False), (1, False), (75, True)])
def test_slurm_train_submits_a_job_that_requeues_itself(tmp_path, ends_with, requeued):
    path = programs(tmp_path, sbatch="cat > job.sh", srun=f"exit {ends_with}", scontrol="")
    code, output = run(
        *("bash", ROOT / "tools/slurm_train.sh", "gpu", "job name", "my config.py", "--amp"),
        cwd=tmp_path,
        PATH=path,
        GPUS="4",
        SRUN_ARGS="--mem 64G",
        SBATCH_ARGS="--time 24:00:00",
    )
    assert code == 0, output
    assert (tmp_path / "sbatch.txt").read_text().splitlines() == [
        *("--partition", "gpu", "--job-name", "job name", "--gres", "gpu:4"),
        *("--ntasks", "4", "--ntasks-per-node", "4", "--cpus-per-task", "10"),
        *("--signal", "USR1@120", "--requeue", "--open-mode", "append"),
        *("--output", "job name-%j.log", "--time", "24:00:00"),
    ]
    # Only a job that is started again resumes: what lies in the folder before is not its own.
    for restarts, resume in (({}, []), ({"SLURM_RESTART_COUNT": "1"}, ["--resume"])):
        code, output = run(
            "bash", "job.sh", cwd=tmp_path, PATH=path, SLURM_JOB_ID="123", **restarts
        )
        assert code == ends_with, output
        assert (tmp_path / "srun.txt").read_text().splitlines() == [
            *("--kill-on-bad-exit=0", "--wait=60", "--mem", "64G"),
            *("python", "-u", str(ROOT / "tools/train.py"), "my config.py"),
            *("--launcher", "slurm", "--amp", *resume),
        ]
    assert (tmp_path / "scontrol.txt").exists() == requeued
    if requeued:
        assert (tmp_path / "scontrol.txt").read_text().split() == ["requeue", "123"]
