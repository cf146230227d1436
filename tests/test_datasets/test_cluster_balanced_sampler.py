"""Balanced sampling: shares, reproducibility, and the rules of ResumableSampler."""

import numpy as np
import pytest

from cmac_mm.datasets import ClusterBalancedSampler


def sampler(labels, rank=0, world_size=1, batch_size=3, seed=4, drop_last=False, **options):
    labels = [np.array(part, dtype=np.int32) for part in labels]
    result = ClusterBalancedSampler(range(len(labels[0])), seed=seed, **options)
    result.rank, result.world_size = rank, world_size
    result.bind(batch_size, drop_last)
    result.set_labels(labels)
    return result


def count(order, labels):
    """Draws of each cluster."""
    return np.bincount(np.array(labels)[order], minlength=max(labels) + 1)


@pytest.mark.parametrize("sizes", [(90, 9, 1), (33, 33, 33), (100,), (50, 0, 30, 3), (1, 1, 60)])
@pytest.mark.parametrize("repeats", [1, 3])
def test_clusters_come_equally_often(sizes, repeats):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(0).shuffle(labels)
    one = sampler([labels], repeats=repeats)
    for epoch in range(3):
        one.set_epoch(epoch)
        order = list(one)
        assert len(order) == sum(sizes) * repeats
        counts = count(order, labels)
        assert all(counts[c] == 0 for c, size in enumerate(sizes) if size == 0)
        present = [counts[c] for c, size in enumerate(sizes) if size]
        assert max(present) - min(present) <= 1
        times = np.bincount(order, minlength=len(labels))
        for c, size in enumerate(sizes):  # within a cluster no member twice more than another
            if size:
                assert np.ptp(times[labels == c]) <= 1


def test_several_clusterings_share_the_epoch():
    """Half of the draws are balanced over either; counts are the sum of what each gives."""
    first, second = [0] * 60 + [1] * 4, [0, 1] * 32
    expected = np.zeros(64)
    runs = 400
    one = sampler([first, second])
    for epoch in range(runs):
        one.set_epoch(epoch)
        expected += np.bincount(list(one), minlength=64) / runs
    # A member's chance: 32 draws, 16 a cluster of each clustering.
    by_hand = [
        16 / np.count_nonzero(np.array(first) == a) + 16 / np.count_nonzero(np.array(second) == b)
        for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(expected, by_hand, atol=0.12)
    assert len(list(one)) == 64


def test_samples_without_cluster_do_not_come():
    labels = [0, -1, 1, 1, -1, 2, 2]
    order = list(sampler([labels]))
    assert len(order) == 7 and not {1, 4} & set(order)
    counts = count(order, labels)
    assert sorted(counts) == [2, 2, 3]


def test_epochs_and_seeds_differ_and_repeat():
    labels = [i % 4 for i in range(40)]
    orders = {
        (seed, epoch): [(int(i), i.seed) for i in _epoch(labels, seed, epoch)]
        for seed in (1, 2)
        for epoch in (0, 1)
    }
    assert len({tuple(order) for order in orders.values()}) == 4
    again = [(int(i), i.seed) for i in _epoch(labels, 2, 1)]
    assert again == orders[2, 1]


def _epoch(labels, seed, epoch):
    one = sampler([labels], seed=seed)
    one.set_epoch(epoch)
    return list(one)


@pytest.mark.parametrize("world_size", [2, 3])
def test_any_number_of_ranks_and_any_start(world_size):
    labels = [0] * 20 + [1] * 3
    whole = sampler([labels], batch_size=6)
    whole.set_epoch(2)
    expected = list(whole)
    batches = [expected[i : i + 6] for i in range(0, 23, 6)]
    for start in (0, 2):
        ranks = []
        for rank in range(world_size):
            one = sampler([labels], rank, world_size, batch_size=6 // world_size)
            one.set_position(2, start)
            ranks.append(list(one))
            assert len(one) == len(ranks[-1]) or start
        seen = [i for part in ranks for i in part]
        assert sorted(seen) == sorted(i for batch in batches[start:] for i in batch)
        first = [i for part in ranks for i in part[: 6 // world_size]]
        assert first == batches[start]
        assert [i.seed for i in first] == [i.seed for i in batches[start]]


def test_new_labels_count_from_the_next_iteration():
    one = sampler([[0] * 9 + [1]])
    assert count(list(one), [0] * 9 + [1])[1] == 5
    one.set_labels([np.array([0] * 10, dtype=np.int32)])
    assert sorted(one) == list(range(10))


def test_bad_labels_are_refused():
    one = ClusterBalancedSampler(range(4))
    one.bind(2, False)
    with pytest.raises(RuntimeError, match="knows no clusters yet"):
        list(one)
    for wrong in ([0, 1, 2], [-1, -1, -1, -1]):
        with pytest.raises(ValueError, match="expected clusters of 4 samples"):
            one.set_labels([np.array(wrong, dtype=np.int32)])


def test_short_epochs_are_balanced_and_come_to_every_sample():
    labels = [0] * 40 + [1] * 8
    one = sampler([labels], samples_per_epoch=8)
    times = np.zeros(48)
    for epoch in range(60):
        one.set_epoch(epoch)
        order = list(one)
        assert len(order) == len(one) == 8
        assert count(order, labels).tolist() == [4, 4]
        times += np.bincount(order, minlength=48)
    assert times.min() > 0
    assert times[40:].min() >= 20 and times[40:].max() <= 40  # 30 expected
