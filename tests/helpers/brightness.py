"""The least that a runner can train: on videos of a folder, with a record of the bad ones."""

from __future__ import annotations

from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModel
from mmengine.runner import Runner

import cmac_mm  # noqa: F401


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
