"""Noise contrastive loss against eq. 1 and 2 of the paper, number by number."""

import math

import pytest
import torch
import torch.nn.functional as F

import cmac_mm  # noqa: F401
from cmac_mm.models import NCELoss
from cmac_mm.models.losses import nce_loss


def slow_nce(query, positives, negatives, z, temperature, num_videos, valid=None):
    """As the paper has it, with N, in floats of Python."""
    losses = []
    for b, x in enumerate(query):
        k = len(negatives[b])

        def is_video(x, row, k=k):
            p = math.exp(float(x @ row) / temperature) / (num_videos * z)  # eq. 1
            return p / (p + k / num_videos)

        pulls = [
            -math.log(is_video(x, row))
            for p, row in enumerate(positives[b])
            if valid is None or valid[b, p]
        ]
        pushes = [-math.log(1 - is_video(x, row)) for row in negatives[b]]
        losses.append(sum(pulls) / max(1, len(pulls)) + sum(pushes))
    return sum(losses) / len(losses)


def unit(*shape):
    return F.normalize(torch.randn(*shape, dtype=torch.float64), dim=-1)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("num_positives", [1, 5])
@pytest.mark.parametrize("num_negatives", [1, 3, 64])
@pytest.mark.parametrize("masked", [False, True])
def test_against_slow_loop(batch, num_positives, num_negatives, masked):
    torch.manual_seed(0)
    query, positives = unit(batch, 8), unit(batch, num_positives, 8)
    negatives = unit(batch, num_negatives, 8)
    valid = torch.rand(batch, num_positives) < 0.5 if masked else None
    loss = NCELoss(temperature=0.2).double()
    loss.z.fill_(2.2)
    got, top1 = loss(query, positives, negatives, valid)
    want = slow_nce(query, positives, negatives, 2.2, 0.2, 1000, valid)
    assert got.item() == pytest.approx(want, rel=1e-9)
    closer = [
        query[b] @ positives[b, p] > max(query[b] @ row for row in negatives[b])
        for b in range(batch)
        for p in range(num_positives)
        if valid is None or valid[b, p]
    ]
    assert top1.item() == pytest.approx(sum(map(float, closer)) / max(1, len(closer)))


def test_closed_form():
    """All similarities 0 and Z 1: 1 of K + 1 is the positive."""
    for k in (1, 10, 1024):
        scores = torch.zeros(2, k)
        want = -math.log(1 / (k + 1)) - k * math.log(k / (k + 1))
        got = nce_loss(torch.zeros(2, 1), scores, torch.tensor(1.0)).item()
        assert got == pytest.approx(want, rel=1e-5)


def test_gradient_is_that_of_the_slow_form():
    torch.manual_seed(0)
    query = unit(3, 6).requires_grad_()
    positives, negatives = unit(3, 2, 6), unit(3, 5, 6)
    loss = NCELoss().double()
    loss.z.fill_(3.0)
    assert torch.autograd.gradcheck(lambda q: loss(q, positives, negatives)[0], (query,))


def test_stays_finite_at_the_ends():
    query = torch.tensor([[1.0, 0.0]])
    loss = NCELoss(temperature=0.005)
    loss.z.fill_(1e-6)
    worst, _ = loss(query, -query[:, None], query[:, None].repeat(1, 4, 1))
    assert worst.isfinite() and worst > 800


def test_mixed_precision_changes_nothing():
    torch.manual_seed(0)
    query, positives, negatives = unit(4, 8).float(), unit(4, 1, 8).float(), unit(4, 9, 8).float()
    loss = NCELoss()
    loss.z.fill_(2.0)
    want, _ = loss(query, positives, negatives)
    with torch.autocast("cpu", torch.bfloat16):
        got, _ = loss(query, positives, negatives)
    assert got.dtype == torch.float32 and torch.equal(got, want)


def test_z_is_that_of_the_first_batch_for_good():
    torch.manual_seed(0)
    loss = NCELoss(temperature=0.3).double()
    batches = [(unit(4, 8), unit(4, 1, 8), unit(4, 9, 8)) for _ in range(3)]
    query, _, negatives = batches[0]
    products = [float(q @ row) for q, rows in zip(query, negatives, strict=True) for row in rows]
    z = sum(math.exp(p / 0.3) for p in products) / len(products)
    loss.eval()
    evaluated, _ = loss(*batches[0])
    assert loss.z == 0  # not in training: used, not kept
    loss.train()
    for batch in batches:
        got, _ = loss(*batch)
        assert loss.z.item() == pytest.approx(z)
        assert got.item() == pytest.approx(slow_nce(*batch, z, 0.3, 50))
    torch.testing.assert_close(evaluated, loss(*batches[0])[0])

    later = NCELoss(temperature=0.3).double()
    later.load_state_dict(loss.state_dict())
    later(*batches[1])
    assert torch.equal(later.z, loss.z)


def test_a_step_that_is_undone_leaves_z_open():
    """As NonFiniteLossHook does with the buffers."""
    loss = NCELoss()
    loss(torch.randn(2, 4), torch.randn(2, 1, 4), torch.randn(2, 3, 4))
    loss.z.zero_()
    got, _ = loss(torch.randn(2, 4), torch.randn(2, 1, 4), torch.randn(2, 3, 4))
    assert got.isfinite() and loss.z > 0


def test_random_unit_vectors_have_the_papers_z():
    """Wide bank of 128 dimensions at tau = 0.07: exp(1 / (2 * 128 * 0.07^2)) = 2.22; the paper's
    first iteration had 2.2045."""
    torch.manual_seed(0)
    loss = NCELoss()
    query, negatives = unit(64, 128).float(), unit(64, 1024, 128).float()
    loss(query, negatives[:, :1], negatives)
    assert 2.1 < loss.z.item() < 2.3


def test_refuses():
    with pytest.raises(ValueError, match="temperature"):
        NCELoss(temperature=0)
