"""What ranks tell each other, over NCCL with a single rank: its backend takes CUDA tensors only."""

import numpy as np
import pytest
import torch
from helpers.devices import on_each_device
from mmengine import dist

from cmac_mm.mining import FeatureSource, cluster, mine_positives, mine_positives_on_all_ranks
from cmac_mm.models.memories import MemoryBank
from cmac_mm.utils.dist import exchange_rows, gather_batch, on_main_rank
from cmac_mm.utils.dist.gather import _join, _padded


@pytest.fixture
def group(device, tmp_path):
    torch.distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        init_method=f"file://{tmp_path}/init",
        rank=0,
        world_size=1,
    )
    yield device
    torch.distributed.destroy_process_group()


@on_each_device
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_rows_are_exchanged(group, dtype):
    rows = torch.arange(24).view(6, 2, 2).to(group, dtype)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    found = exchange_rows(rows, order, [6])
    assert torch.equal(found.cpu(), rows.cpu()[order])


@on_each_device
def test_batches_are_gathered_with_gradient(group):
    """The collective itself, which a single rank leaves out."""
    import torch.distributed.nn.functional as dist_nn

    x = torch.randn(3, 4, device=group, requires_grad=True)
    gathered = _join(dist_nn.all_gather(_padded(x, [3])), [3])
    assert torch.equal(gathered, x)
    (gathered * torch.arange(4.0, device=group)).sum().backward()
    assert torch.equal(x.grad.cpu(), torch.arange(4.0).expand(3, 4))
    assert torch.equal(torch.cat(dist.all_gather(x.detach())), x)


@on_each_device
def test_objects_and_searches(group):
    assert on_main_rank(lambda: dict(a=np.arange(3)))["a"].tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="told"):
        on_main_rank(_fail)
    objects = [None]
    torch.distributed.all_gather_object(objects, dict(a=1))
    assert objects == [dict(a=1)]
    torch.distributed.broadcast_object_list(objects, src=0)

    features = np.random.default_rng(0).standard_normal((60, 4), dtype=np.float32)
    found = cluster(FeatureSource([features]), 3, seed=0, backend="sklearn")
    assert np.bincount(found.labels, minlength=3).all()
    bank = torch.nn.functional.normalize(torch.randn(50, 8), dim=1).to(group)
    assert torch.equal(mine_positives_on_all_ranks(bank, bank), mine_positives(bank, bank))
    memory = MemoryBank(5, 8).to(group)
    memory.update(torch.tensor([1, 3]).to(group), bank[:2], [2])
    assert torch.equal(gather_batch(memory.entries, [5]), memory.entries)


def _fail():
    raise ValueError("told")
