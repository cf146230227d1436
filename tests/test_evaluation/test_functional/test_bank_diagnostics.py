"""Diagnostics of banks and positives against loops."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from cmac_mm.evaluation.functional import (
    mean_dot_product,
    neighbour_agreement,
    pair_similarities,
    positive_precision,
    rejected_negatives,
    sample_rows,
)


def random_banks(size, channels=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(2, size, channels, generator=generator), dim=2)


@pytest.mark.parametrize("size", [2, 3, 40])
def test_mean_dot_product_is_that_of_all_pairs(size):
    bank = random_banks(size)[0]
    pairs = [float(bank[i] @ bank[j]) for i, j in itertools.permutations(range(size), 2)]
    assert mean_dot_product(bank) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)


def test_mean_dot_product_in_closed_form():
    assert mean_dot_product(torch.eye(4)) == pytest.approx(0)
    assert mean_dot_product(torch.ones(5, 4) / 2) == pytest.approx(1)
    with pytest.raises(ValueError, match="two rows or more, got 1"):
        mean_dot_product(torch.eye(4)[:1])


@pytest.mark.parametrize("share_labelled", [1.0, 0.6])
def test_precision_is_that_of_a_loop(share_labelled):
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(3, (30,), generator=generator)
    labels[torch.rand(30, generator=generator) > share_labelled] = -1
    positives = torch.stack([torch.randperm(30, generator=generator)[:6] for _ in range(30)])
    positives[4, 2:] = -1
    precision = positive_precision(positives, labels, ks=(1, 3, 6, 50))
    assert set(precision) == {"precision@1", "precision@3", "precision@6", "chance"}
    for k in (1, 3, 6):
        shares = []
        for i, own in enumerate(labels.tolist()):
            others = [int(labels[j]) for j in positives[i, :k].tolist() if j >= 0]
            others = [label for label in others if label >= 0]
            if own >= 0 and others:
                shares.append(sum(label == own for label in others) / len(others))
        assert precision[f"precision@{k}"] == pytest.approx(sum(shares) / len(shares))
    known = [label for label in labels.tolist() if label >= 0]
    pairs = [a == b for a, b in itertools.permutations(known, 2)]
    assert precision["chance"] == pytest.approx(sum(pairs) / len(pairs))


def test_precision_of_some_rows_and_in_closed_form():
    labels = torch.tensor([0, 0, 1, 1])
    rows = torch.tensor([0, 3])
    precision = positive_precision(torch.tensor([[1, 2], [0, 2]]), labels, ks=(1, 2), rows=rows)
    assert precision == {"precision@1": 0.5, "precision@2": 0.5, "chance": pytest.approx(1 / 3)}
    with pytest.raises(ValueError, match="no video with a positive has a label"):
        positive_precision(torch.full((4, 2), -1), labels)
    with pytest.raises(ValueError, match="more videos than the 4"):
        positive_precision(torch.tensor([[4]]), labels, rows=torch.tensor([0]))


def test_neighbour_agreement():
    visual, audio = random_banks(50)
    found = neighbour_agreement(visual, audio, num_neighbours=7, num_rows=50)
    shares = []
    for i in range(50):
        near = [
            set(sorted(set(range(50)) - {i}, key=lambda j: -float(bank[i] @ bank[j]))[:7])
            for bank in (visual, audio)
        ]
        shares.append(len(near[0] & near[1]) / 7)
    assert found["neighbour_agreement"] == pytest.approx(sum(shares) / 50)
    assert found["chance"] == pytest.approx(7 / 49)
    assert neighbour_agreement(visual, visual)["neighbour_agreement"] == 1
    assert neighbour_agreement(visual[:3], audio[:3])["neighbour_agreement"] == 1


def test_rejected_negatives_look_alike_and_are_no_positives():
    visual, audio = random_banks(20)
    rows = torch.tensor([3, 11])
    positives = torch.tensor([[5, 7], [0, -1]])
    found = rejected_negatives(visual, audio, positives, rows, num=3)
    for i, own, row in zip(rows.tolist(), positives.tolist(), found.tolist(), strict=True):
        left = set(range(20)) - {i, *own}
        assert row == sorted(left, key=lambda j: -float(visual[i] @ visual[j]))[:3]
    few = rejected_negatives(visual[:4], audio[:4], torch.tensor([[1, 2]]), torch.tensor([0]), 3)
    assert few.tolist() == [[3, -1, -1]]


def test_pair_similarities():
    bank = random_banks(6)[0]
    found = pair_similarities(bank, torch.tensor([1, 4]), torch.tensor([[0, 2, 3], [4, 5, 1]]))
    assert found.shape == (2, 3)
    torch.testing.assert_close(found[1, 1], bank[4] @ bank[5])
    torch.testing.assert_close(found[1, 0], torch.tensor(1.0))


def test_sample_rows():
    assert sample_rows(5, 10).tolist() == [0, 1, 2, 3, 4]
    rows = sample_rows(100, 10)
    assert len(rows) == len(rows.unique()) == 10
    assert torch.equal(rows, sample_rows(100, 10))
    assert not torch.equal(rows, sample_rows(100, 10, seed=1))
