"""Negatives, counted."""

import pytest
import torch

import cmac_mm  # noqa: F401
from cmac_mm.models.memories import draw_negatives

# Each sample's positives: none, some, with repetitions, with itself, with gaps, at the ends.
CASES = {
    "plain": (7, [0, 3, 6, 3], None),
    "smallest": (3, [0, 1, 2], [[1], [2], [0]]),
    "one left": (5, [2], [[0, 4, 1]]),
    "ends": (8, [3, 0, 7], [[0, 7, 1], [7, 6, 1], [5, 6, 0]]),
    "gaps": (8, [3, 3, 1], [[-1, -1, -1], [2, -1, 2], [0, 1, -1]]),
    "unsorted": (40, [17, 0], [[30, 2, 18, 16, 5], [39, 1, 38, 20, 2]]),
}


@pytest.mark.parametrize("name", CASES)
def test_uniform_over_the_rest(name):
    """Never itself, never a positive; how often each of the others comes, by a chi-square test."""
    size, idx, positives = CASES[name]
    positives = positives and torch.tensor(positives)
    num = 4000
    torch.manual_seed(0)
    got = draw_negatives(torch.tensor(idx), size, num, positives)
    assert got.shape == (len(idx), num) and got.dtype == torch.long
    for row, video in enumerate(idx):
        excluded = {video} | (set(positives[row].tolist()) if positives is not None else set())
        allowed = sorted(set(range(size)) - excluded)
        counts = got[row].bincount(minlength=size)
        assert set(counts.nonzero().flatten().tolist()) == set(allowed)
        expected = num / len(allowed)
        chi_square = ((counts[allowed] - expected) ** 2 / expected).sum().item()
        degrees = len(allowed) - 1
        # Mean + 5 standard deviations: exceeded by chance about once in 1e5.
        assert chi_square < degrees + 5 * (2 * degrees) ** 0.5 + 1e-9


def test_only_candidates_are_drawn():
    """Uniform over the candidates that are neither the video nor its positives, as a loop tells."""
    candidates = torch.tensor([0, 2, 3, 7, 8, 11])
    idx, positives = torch.tensor([3, 5, 11]), torch.tensor([[0, 4], [-1, 8], [2, 2]])
    torch.manual_seed(0)
    got = draw_negatives(idx, 12, 6000, positives, candidates=candidates)
    for row, video in enumerate(idx.tolist()):
        allowed = set(candidates.tolist()) - {video} - set(positives[row].tolist())
        counts = got[row].bincount(minlength=12)
        assert set(counts.nonzero().flatten().tolist()) == allowed
        assert (counts[sorted(allowed)] / 6000 * len(allowed) - 1).abs().max() < 0.12
    same = draw_negatives(idx, 12, 9, positives, seeds=[1, 2, 3])
    every = torch.arange(12)
    assert torch.equal(same, draw_negatives(idx, 12, 9, positives, [1, 2, 3], every))
    with pytest.raises(ValueError, match="of 2 videos"):
        draw_negatives(idx, 12, 5, positives[:, :1], candidates=candidates[:2])


def test_large_list():
    """A million videos: the mean and spread of a uniform draw, all excluded ones missing."""
    size = 1_000_003
    positives = torch.randint(0, size, (2, 32), generator=torch.Generator().manual_seed(1))
    idx = torch.tensor([0, size - 1])
    torch.manual_seed(2)
    got = draw_negatives(idx, size, 200_000, positives)
    assert got.min() >= 0 and got.max() < size
    for row in range(2):
        assert not torch.isin(got[row], positives[row]).any() and not (got[row] == idx[row]).any()
        values = got[row].double() / size
        assert abs(values.mean() - 0.5) < 0.003 and abs(values.std() - 12**-0.5) < 0.003


def test_pairs_are_independent():
    """Two draws of one sample fall on each pair of rows equally often."""
    torch.manual_seed(0)
    got = draw_negatives(torch.tensor([1]), 5, 40_000)
    first, second = got[0].view(-1, 2).T
    counts = (first * 5 + second).bincount(minlength=25).view(5, 5)
    assert (counts[1] == 0).all() and (counts[:, 1] == 0).all()
    counts = counts[[0, 2, 3, 4]][:, [0, 2, 3, 4]]
    assert (counts - 1250).abs().max() < 5 * 1250**0.5


def test_one_seed_a_sample():
    """A sample's negatives depend on its own seed, not on its place in the batch."""
    idx = torch.tensor([4, 9, 2])
    positives = torch.tensor([[1], [2], [3]])
    together = draw_negatives(idx, 50, 20, positives, [5, 6, 7])
    apart = draw_negatives(idx[[2, 0]], 50, 20, positives[[2, 0]], [7, 5])
    assert torch.equal(apart, together[[2, 0]])
    assert not torch.equal(together[0], together[1])


def test_refuses_when_nothing_is_left():
    with pytest.raises(ValueError, match="of 3 videos, 3 are the sample itself"):
        draw_negatives(torch.tensor([0]), 3, 4, torch.tensor([[1, 2]]))
    with pytest.raises(ValueError, match="of 1 videos"):
        draw_negatives(torch.tensor([0]), 1, 4)
