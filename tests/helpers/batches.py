"""Small batches of clips with the videos' rows, parts of a batch, and the sum of its losses."""

import torch
from mmaction.structures import ActionDataSample


def make_batch(rows, seed=0, global_batch_size=None):
    generator = torch.Generator().manual_seed(seed)
    size = len(rows)
    inputs = dict(
        imgs=torch.randn(size, 3, 4, 32, 32, generator=generator),
        audio=torch.randn(size, 1, 33, 20, generator=generator),
    )
    samples = []
    for position, row in enumerate(rows):
        meta = dict(sample_idx=row, sample_seed=1000 * seed + position)
        if global_batch_size:
            meta["global_batch_size"] = global_batch_size
        samples.append(ActionDataSample(metainfo=meta))
    return inputs, samples


def slice_batch(batch, start, stop):
    inputs, samples = batch
    return {key: x[start:stop] for key, x in inputs.items()}, samples[start:stop]


def total(losses):
    return sum(value for key, value in losses.items() if "loss" in key)
