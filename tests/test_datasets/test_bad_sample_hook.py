"""Bad files in a real training run end up in its work directory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from media_tools import write_video
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


@pytest.mark.parametrize("by_epoch", [True, False])
@pytest.mark.parametrize("workers", [0, 2])
def test_training_leaves_a_list(tmp_path, by_epoch, workers):
    for i in range(3):
        write_video(tmp_path / f"good{i}.mp4", seconds=1, flashes=(5, 15))
    (tmp_path / "bad.mp4").write_text("no")
    write_video(tmp_path / "silent.mp4", seconds=1)
    names = ["good0.mp4", "bad.mp4", "good1.mp4", "silent.mp4", "good2.mp4", "gone.mp4"]
    ann_file = tmp_path / "list.txt"
    ann_file.write_text("\n".join(names))
    dataset = dict(
        type="AudioVisualDataset",
        ann_file=str(ann_file),
        data_prefix=dict(video=str(tmp_path)),
        pipeline=[
            dict(type="OpenAudioVisual"),
            dict(type="SampleClips", duration=0.5),
            dict(type="DecodeAudioVisual", fps=4, silence_db=-80.0),
            dict(type="PackAudioVisual"),
        ],
    )
    loop = (
        dict(type="EpochBasedTrainLoop", max_epochs=2)
        if by_epoch
        else dict(type="IterBasedTrainLoop", max_iters=8)
    )
    with DefaultScope.overwrite_default_scope("mmaction"):
        MODELS.register_module(module=MeanBrightness, force=True)
        runner = Runner(
            model=dict(type="MeanBrightness"),
            work_dir=str(tmp_path / "work"),
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
            experiment_name=f"bad_samples_{by_epoch}_{workers}",
            default_scope="mmaction",
        )
        runner.train()
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
