"""A model, data set and metric for training runs of a second, registered in MMAction2."""

import torch
from mmaction.registry import DATASETS, METRICS, MODELS
from mmengine.dist import get_rank
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from torch import nn


@DATASETS.register_module()
class TinyDataset(torch.utils.data.Dataset):
    metainfo = {"classes": ("even", "odd")}  # noqa: RUF012

    def __len__(self):
        return 8

    def __getitem__(self, index):
        values = torch.tensor([index, index % 2, 1.0, -index])
        return {"inputs": values, "label": index % 2}


@MODELS.register_module()
class TinyModel(BaseModel):
    """The queue counts the rank's own training steps, times 1 on rank 0, times 2 on rank 1."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        self.register_buffer("queue", torch.zeros(3))

    def forward(self, inputs, label, mode="tensor"):
        scores = self.layers(inputs)
        if mode == "predict":
            return [{"scores": a, "label": b} for a, b in zip(scores, label, strict=True)]
        self.queue += get_rank() + 1
        return {"loss": nn.functional.cross_entropy(scores, label)}


@METRICS.register_module()
class TinyAccuracy(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results += [
            int(sample["scores"].argmax() == sample["label"]) for sample in data_samples
        ]

    def compute_metrics(self, results):
        return {"accuracy": sum(results) / len(results)}
