"""The demo as a user runs it: real videos, two ranks, resume, test, pictures."""

import json
import math
import re
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers.paths import ROOT
from helpers.processes import run_tool
from helpers.ranks import run_on_two_ranks

from cmac_mm.preparation.sounding_shapes import make_sounding_shapes

CONFIG = "configs/demo/cmac_sounding-shapes.py"


def check(status, output):
    assert status == 0, output[-5000:]
    return output


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    make_sounding_shapes(folder, num_train=28, num_test=8, num_bad=4, seed=0, workers=2)
    return folder


def options(shapes):
    fields = {"batch_size": 4, "num_workers": 1, "dataset.data_prefix.video": shapes}
    pairs = [
        f"{split}_dataloader.{key}={value}"
        for split in ("train", "test")
        for key, value in {**fields, "dataset.ann_file": f"{shapes}/{split}.txt"}.items()
    ]
    return ["--cfg-options", *pairs, "default_hooks.logger.interval=2"]


@pytest.fixture(scope="module")
def work_dir(shapes, tmp_path_factory):
    """Two epochs on two ranks: one, an interruption, and the other."""
    folder = tmp_path_factory.mktemp("work_dir")
    train = partial(run_on_two_ranks, "train.py", CONFIG, "--work-dir", folder, "--seed", 0)
    check(*train(*options(shapes), "train_cfg.max_epochs=1", cwd=ROOT))
    check(*train("--resume", *options(shapes), "train_cfg.max_epochs=2", cwd=ROOT))
    return folder


def test_two_ranks_train_and_resume(work_dir):
    logs = sorted(work_dir.glob("*/*.log"))
    assert len(logs) == 2
    assert "resumed epoch: 1" in logs[1].read_text()
    steps = [
        json.loads(line)
        for path in sorted(work_dir.glob("*/vis_data/scalars.json"))
        for line in path.read_text().splitlines()
    ]
    looks = [step for step in steps if "monitor/visual_R@1" in step]
    assert [(look["epoch"], look["step"]) for look in looks] == [(2, 8)]
    steps = [step for step in steps if step not in looks]
    assert {step["epoch"] for step in steps} == {1, 2}
    assert max(step["step"] for step in steps) == 8  # 32 videos: 4 steps of 2 x 4, twice
    for step in steps:
        assert all(math.isfinite(value) for value in step.values())
        assert {"lr", "data_time", "loss_visual_attention", "top1_audio_to_visual"} <= step.keys()
    assert "grad_norm_visual_attention" in steps[0]


def test_bad_files_are_listed(shapes, work_dir):
    made_bad = {line.split()[0] for line in (shapes / "bad_files.txt").read_text().splitlines()}
    listed = dict(
        line.split("\t") for line in (work_dir / "bad_files.txt").read_text().splitlines()
    )
    assert {str(Path(path).relative_to(shapes)) for path in listed} == made_bad
    assert all(listed.values())


def test_checkpoint_holds_the_encoders_under_their_names(work_dir):
    checkpoint = torch.load(work_dir / "epoch_2.pth", weights_only=False)
    heads = {key.split(".")[0] for key in checkpoint["state_dict"]}
    assert heads == {"visual_backbone", "audio_backbone", "neck", "head"}
    assert checkpoint["meta"]["epoch"] == 2


def test_test_prints_retrieval(shapes, work_dir):
    args = [CONFIG, work_dir / "epoch_2.pth", "--work-dir", work_dir / "test", *options(shapes)]
    output = check(*run_tool("test.py", *args, cwd=ROOT))
    scores = dict(re.findall(r"retrieval/(\w+): ([\d.]+)", output))
    assert {"video_to_audio_R1", "audio_to_video_R1", "visual_class_R1"} <= scores.keys()
    assert all(0 <= float(value) <= 1 for value in scores.values())
