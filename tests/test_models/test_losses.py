import math

import pytest
import torch
import torch.nn.functional as F

import cmac_mm  # noqa: F401
from cmac_mm.models import AttentionConsistencyLoss, MoCoQueueLoss
from cmac_mm.models.losses import attention_consistency, queue_contrast


def _unit(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def _slow_contrast(query, positive, negatives, sample_idx, temperature):
    """Equation 7, sample by sample and key by key."""
    losses, hits = [], []
    for i in range(len(query)):
        own = math.exp(float(query[i] @ positive[i]) / temperature)
        others = []
        for keys, key_idx in negatives:
            for k in range(len(keys)):
                if int(key_idx[k]) != int(sample_idx[i]):
                    others.append(math.exp(float(query[i] @ keys[k]) / temperature))
        losses.append(-math.log(own / (own + sum(others))))
        hits.append(all(own > other for other in others))
    return sum(losses) / len(losses), sum(hits) / len(hits)


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("sizes", [(5,), (1,), (8, 3), ()])
def test_contrast_against_loop(batch, sizes):
    query, positive = _unit(batch, 16, seed=1), _unit(batch, 16, seed=2)
    positive = F.normalize(query + 0.5 * positive, dim=1)
    sample_idx = torch.arange(batch)
    # Keys of the queries' own videos among them: those must not count.
    negatives = [(_unit(size, 16, seed=3 + size), torch.arange(size) - size // 2) for size in sizes]
    loss, top1 = queue_contrast(query, positive, negatives, sample_idx, 0.07)
    expected_loss, expected_top1 = _slow_contrast(query, positive, negatives, sample_idx, 0.07)
    assert loss.item() == pytest.approx(expected_loss, abs=1e-12)
    assert top1.item() == pytest.approx(expected_top1)


def test_contrast_closed_form():
    """Positive equal, K negatives orthogonal to the query: log(1 + K exp(-1 / tau))."""
    query = torch.eye(4)[:1]
    negatives = [(torch.eye(4)[1:], torch.full((3,), -1))]
    loss, top1 = queue_contrast(query, query, negatives, torch.tensor([0]), 0.5)
    assert loss.item() == pytest.approx(math.log(1 + 3 * math.exp(-2)), abs=1e-6)
    assert top1 == 1


def test_contrast_ties_are_no_hits():
    query = torch.eye(2)[:1]
    _, top1 = queue_contrast(query, query, [(query, torch.tensor([9]))], torch.tensor([0]), 1.0)
    assert top1 == 0


def test_contrast_is_float32_under_autocast():
    query, positive = _unit(4, 16, seed=1).float(), _unit(4, 16, seed=2).float()
    keys = (_unit(9, 16, seed=3).float(), torch.full((9,), -1))
    expected, _ = queue_contrast(query, positive, [keys], torch.arange(4), 0.07)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = queue_contrast(query, positive, [keys], torch.arange(4), 0.07)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)


def test_contrast_gradient_flows_with_all_keys_masked():
    query = _unit(2, 4).requires_grad_()
    keys = (_unit(2, 4, seed=1), torch.tensor([5, 5]))
    loss, _ = queue_contrast(query, _unit(2, 4, seed=2), [keys], torch.tensor([5, 5]), 0.1)
    loss.backward()
    assert loss.item() == 0 and query.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (3, 9, 4), (2, 1, 1)])
@pytest.mark.parametrize("reduction", ["sum", "mean", "balanced"])
def test_attention_consistency_against_loop(shape, reduction):
    predicted = torch.rand(shape, dtype=torch.float64)
    target = torch.rand(shape, dtype=torch.float64)
    total = 0.0
    for p, t in zip(predicted, target, strict=True):
        squares = [
            (x - y) ** 2 for x, y in zip(p.flatten().tolist(), t.flatten().tolist(), strict=True)
        ]
        total += (
            sum(squares)
            * {"sum": 1, "mean": 1 / len(squares), "balanced": 100 / len(squares)}[reduction]
        )
    actual = attention_consistency(predicted, target, reduction)
    assert actual.item() == pytest.approx(total / shape[0], abs=1e-12)


def test_attention_consistency_closed_form():
    """A constant difference of 0.5 at 6 positions: 1.5 summed, times lambda."""
    predicted, guided = torch.full((2, 2, 3), 0.75), torch.full((2, 2, 3), 0.25)
    assert AttentionConsistencyLoss(loss_weight=1.5)(predicted, guided).item() == 2.25
    assert AttentionConsistencyLoss(1.5, reduction="mean")(predicted, guided).item() == 0.375


@pytest.mark.parametrize("detach", [True, False])
def test_guided_map_is_a_pseudo_label(detach):
    predicted = torch.rand(2, 3, requires_grad=True)
    guided = torch.rand(2, 3, requires_grad=True)
    AttentionConsistencyLoss(detach_target=detach)(predicted, guided).backward()
    assert predicted.grad is not None
    assert (guided.grad is None) == detach


def test_losses_refuse():
    with pytest.raises(ValueError, match="'max'"):
        AttentionConsistencyLoss(reduction="max")
    with pytest.raises(ValueError, match="temperature"):
        MoCoQueueLoss(temperature=0)
    with pytest.raises(ValueError, match="differ in shape"):
        attention_consistency(torch.rand(1, 2), torch.rand(1, 3))
