"""The hook in a real runner."""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

import cmac_mm  # noqa: F401


class _Model(BaseModel):
    def __init__(self, queue_size):
        super().__init__()
        self.queue_size = queue_size
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode="tensor"):
        return dict(loss=self.layer(inputs).sum())


@pytest.mark.parametrize(("queue_size", "warned"), [(3, False), (4, True), (9, True), (0, False)])
def test_warns_of_a_queue_as_long_as_the_data_set(queue_size, warned, tmp_path):
    runner = Runner(
        model=_Model(queue_size),
        work_dir=str(tmp_path),
        train_dataloader=dict(
            dataset=[dict(inputs=torch.zeros(1))] * 4,
            sampler=dict(type="DefaultSampler", shuffle=False),
            batch_size=2,
            collate_fn=dict(type="default_collate"),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        custom_hooks=[dict(type="QueueSizeHook")],
        default_scope="mmaction",
        experiment_name=f"queue_{queue_size}",
    )
    runner.train()
    log = (next(tmp_path.rglob("*.log"))).read_text()
    assert (f"queue_size={queue_size} is not below" in log) == warned
