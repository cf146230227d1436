"""Losses stay in float32 under autocast, with finite gradients, whatever the size of a batch."""

import pytest
import torch
import torch.nn.functional as F
from helpers.registered import registered
from mmaction.registry import MODELS

from cmac_mm.models.memories import Keys
from cmac_mm.utils.dist import RankBatch

LOSSES = registered("MODELS", "models.losses")


def unit(*shape):
    return F.normalize(torch.randn(*shape), dim=-1)


def keys_of(batch):
    """Keys of one modality, as of second clips, a queue of six, and the batch's rows."""
    keys = Keys({}, {"visual": unit(batch, 8)}, {}, {"visual": (unit(6, 8), torch.arange(6))})
    rows = torch.arange(batch)
    return keys, RankBatch(tuple(rows.tolist()), rows, (batch,), None, None)


# What a loss takes: what gradients reach first, then the rest.
INPUTS = {
    "AttentionConsistencyLoss": lambda batch: (
        torch.rand(batch, 2, 4, 4),
        torch.rand(batch, 2, 4, 4),
    ),
    "MoCoQueueLoss": lambda batch: (unit(batch, 8), *keys_of(batch)),
    "NCELoss": lambda batch: (unit(batch, 8), unit(batch, 1, 8), unit(batch, 16, 8)),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss(name, batch, dtype):
    assert name in INPUTS, f"add to INPUTS of {__file__} what {name} takes"
    torch.manual_seed(0)
    loss = MODELS.build(dict(type=name))
    first, *others = INPUTS[name](batch)
    expected = value_of(loss, first, *others)
    query = first.to(dtype).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        value = value_of(loss, query, *others)
    assert value.dtype == torch.float32 and value.shape == () and value.isfinite()
    torch.testing.assert_close(value, expected, rtol=0 if dtype == torch.float32 else 0.1, atol=0)
    value.backward()
    assert query.grad.isfinite().all() and query.grad.any()


def value_of(loss, first, *others):
    """The loss; what is logged beside it is left out."""
    if isinstance(others[0], Keys):
        losses, _ = loss({"visual": first}, *others)
        return losses["loss_visual_to_visual"]
    result = loss(first, *others)
    return result[0] if isinstance(result, tuple) else result
