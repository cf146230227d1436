"""Bad files in a real training run end up in its work directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.media_tools import write_video
from mmaction.registry import HOOKS, MODELS
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

import cmac_mm.engine.hooks.bad_sample_hook  # noqa: F401


class MeanBrightness(BaseModel):
    """The least that a runner can train."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs: dict, data_samples: list, mode: str = "tensor") -> dict:
        return dict(loss=(self.weight * inputs["imgs"].float().mean()).sum())


def train(folder: Path, loop: dict, workers: int, **kwargs: object) -> None:
    """Train on the videos of ``list.txt`` in the folder."""
    MODELS.register_module(module=MeanBrightness, force=True)
    dataset = dict(
        type="AudioVisualDataset",
        ann_file=str(folder / "list.txt"),
        data_prefix=dict(video=str(folder)),
        pipeline=[
            dict(type="OpenAudioVisual"),
            dict(type="SampleClips", duration=0.5),
            dict(type="DecodeAudioVisual", fps=4, silence_db=-80.0),
            dict(type="PackAudioVisual"),
        ],
        **kwargs,
    )
    runner = Runner(
        model=dict(type="MeanBrightness"),
        work_dir=str(folder / "work"),
        train_dataloader=dict(
            dataset=dict(type="RepeatDataset", times=2, dataset=dataset),
            batch_size=2,
            num_workers=workers,
            persistent_workers=workers > 0,
            sampler=dict(type="DefaultSampler", shuffle=True),
            collate_fn=dict(type="default_collate"),
        ),
        train_cfg=loop,
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        custom_hooks=[dict(type="BadSampleHook")],
        randomness=dict(seed=0),
        experiment_name=folder.name,  # MMEngine keeps one log for each name and second
        default_scope="mmaction",
    )
    runner.train()
    # In the garbage collection PyTorch takes 10 s to end the workers.
    runner.train_dataloader._iterator = None


@pytest.mark.parametrize(
    ("by_epoch", "workers", "time_limit"),
    [(True, 0, None), (True, 0, 60), (True, 2, None), (True, 2, 60), (False, 0, None)],
)
def test_training_leaves_a_list(tmp_path, by_epoch, workers, time_limit):
    for i in range(3):
        write_video(tmp_path / f"good{i}.mp4", seconds=1, flashes=(5, 15))
    (tmp_path / "bad.mp4").write_text("no")
    write_video(tmp_path / "silent.mp4", seconds=1)
    names = ["good0.mp4", "bad.mp4", "good1.mp4", "silent.mp4", "good2.mp4", "gone.mp4"]
    (tmp_path / "list.txt").write_text("\n".join(names))
    loop = (
        dict(type="EpochBasedTrainLoop", max_epochs=2)
        if by_epoch
        else dict(type="IterBasedTrainLoop", max_iters=8)
    )
    with DefaultScope.overwrite_default_scope("mmaction"):
        train(tmp_path, loop, workers, time_limit=time_limit)
    assert "BadSampleHook" in HOOKS.module_dict
    lines = (tmp_path / "work" / "bad_files.txt").read_text().splitlines()
    assert [Path(line.split("\t")[0]).name for line in lines] == [
        "bad.mp4",
        "gone.mp4",
        "silent.mp4",
    ]
    log = next((tmp_path / "work").glob("*/*.log")).read_text()
    assert "3 bad files so far" in log
    assert "samples were replaced" in log


def test_names_that_only_look_like_several_lines(tmp_path):
    """Nothing of a name is lost on the way into the list, also with what an earlier run left."""
    names = ["a\u2028b.mp4", "a\x85b.mp4", "a\fb.mp4", "a\vb.mp4", "tab\tin it.mp4"]
    for i in range(3):
        write_video(tmp_path / f"good{i}.mp4", seconds=1, flashes=(5, 15))
    for name in names:
        (tmp_path / name).write_text("no")
    lines = [f"{name} 0\n" for name in [*names, "good0.mp4", "good1.mp4", "good2.mp4"]]
    (tmp_path / "list.txt").write_text("".join(lines), encoding="utf-8")
    expected = sorted(str(tmp_path / name) for name in names)
    for _ in range(2):
        with DefaultScope.overwrite_default_scope("mmaction"):
            train(tmp_path, dict(type="EpochBasedTrainLoop", max_epochs=4), 0)
        for path in ("bad_files.txt", "bad_files/rank0.txt"):
            lines = (tmp_path / "work" / path).read_bytes().decode().split("\n")
            assert lines.pop() == ""
            assert sorted(line.rpartition("\t")[0] for line in lines) == expected


TRAIN = """
import sys
from pathlib import Path
from test_bad_sample_hook import train
train(Path(sys.argv[1]), dict(type="EpochBasedTrainLoop", max_epochs=1), 2, time_limit=60)
"""


def test_training_on_bad_files_alone_stops_with_an_error(tmp_path):
    """As a process, with two workers: its exit status tells."""
    (tmp_path / "bad.mp4").write_text("no")
    write_video(tmp_path / "silent.mp4", seconds=1)
    (tmp_path / "list.txt").write_text("bad.mp4\nsilent.mp4\ngone.mp4\n")
    tests = Path(__file__).parent
    result = subprocess.run(
        [sys.executable, "-c", TRAIN, str(tmp_path)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, [tests, *tests.parents[:2]])),
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode != 0
    pattern = (
        r"RuntimeError: .*101 samples of \S*list\.txt in a row \(3 different files\) were refused; "
        r"the last one: .*check_videos\.py"
    )
    assert re.search(pattern, result.stderr, re.DOTALL), result.stderr[-3000:]
