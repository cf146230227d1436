"""One rank's share of a batch: what is read from the samples, and what is refused."""

from unittest.mock import patch

import pytest
import torch
from mmaction.structures import ActionDataSample

from cmac_mm.utils.dist import RankBatch


def samples(*rows, **fields):
    return [
        ActionDataSample(metainfo=dict(sample_idx=row, **{k: v[i] for k, v in fields.items()}))
        for i, row in enumerate(rows)
    ]


def read(data_samples, size=None):
    size = len(data_samples) if size is None else size
    return RankBatch.from_samples(data_samples, size, torch.device("cpu"))


def test_on_one_rank():
    batch = read(samples(4, 0, 4))
    assert batch.numbers == (4, 0, 4) and batch.rows.tolist() == [4, 0, 4]
    assert batch.sizes == (3,) and batch.weight == 1 and batch.seeds is None
    assert torch.equal(batch.all_rows, batch.rows)
    assert read(samples(1, 2, sample_seed=[7, 8])).seeds == (7, 8)


@pytest.mark.parametrize(
    ("total", "world_size", "sizes"),
    [(5, 2, (3, 2)), (6, 3, (2, 2, 2)), (4, 3, (2, 1, 1)), (None, 3, (2, 2, 2))],
)
def test_sizes_and_weights_over_ranks(total, world_size, sizes):
    """The mean over ranks of weighted means is the mean over samples."""
    values = torch.arange(sum(sizes), dtype=torch.float64) ** 2
    weighted = []
    for rank, part in enumerate(values.split(list(sizes))):
        with (
            patch("mmengine.dist.get_world_size", return_value=world_size),
            patch("mmengine.dist.get_rank", return_value=rank),
        ):
            fields = {} if total is None else dict(global_batch_size=[total] * len(part))
            batch = read(samples(*range(len(part)), **fields))
            assert batch.sizes == sizes
            weighted.append(batch.weight * part.mean())
    assert sum(weighted) / world_size == pytest.approx(float(values.mean()))


def test_refuses():
    with pytest.raises(ValueError, match="one data sample for each of 2 videos"):
        RankBatch.from_samples(None, 2, torch.device("cpu"))
    with pytest.raises(ValueError, match="one data sample for each of 3 videos"):
        read(samples(1, 2), size=3)
    with pytest.raises(ValueError, match="lack 'sample_idx'"):
        read([ActionDataSample()])
    with pytest.raises(ValueError, match="rank 0 has 2 samples of a global batch of 3, expected 3"):
        read(samples(1, 2, global_batch_size=[3, 3]))
