"""A runner in a test and what a recogniser says of a video, as far as hooks look at them."""

from types import SimpleNamespace

import torch
from mmaction.structures import ActionDataSample


def runner(classes=None):
    dataset = SimpleNamespace(metainfo={} if classes is None else dict(classes=classes))
    model = SimpleNamespace(type="Recognizer3D")
    return SimpleNamespace(
        cfg=SimpleNamespace(model=model), test_dataloader=SimpleNamespace(dataset=dataset)
    )


def sample(row, name="a$b$.mp4", label=1):
    fields = dict(sample_idx=row, filename=f"/videos/{name}")
    result = ActionDataSample(metainfo=fields).set_pred_score(torch.tensor([0.1, 0.7, 0.2]))
    return result if label is None else result.set_gt_label(label)
