import pickle
from collections import Counter

import pytest
from mmengine.dist import get_dist_info

from cmac_mm.datasets.samplers.resumable_sampler import ResumableSampler, SampleIndex
from cmac_mm.utils.dist import split_sizes


def sampler(rank=0, world_size=1, size=23, batch_size=3, drop_last=False, **options):
    result = ResumableSampler(range(size), seed=4, **options)
    assert (result.rank, result.world_size) == get_dist_info()
    result.rank, result.world_size = rank, world_size
    result.bind(batch_size, drop_last)
    return result


def batches(sampler, size):
    """What torch's batch sampler makes of the indices."""
    indices = list(sampler)
    return [indices[i : i + size] for i in range(0, len(indices), size)]


def globally(world_size, size=23, batch_size=3, drop_last=False, epoch=0, start=0, **options):
    """The global batches, ranks in order."""
    ranks = []
    for rank in range(world_size):
        one = sampler(rank, world_size, size, batch_size, drop_last, **options)
        one.set_position(epoch, start)
        ranks.append(batches(one, batch_size))
        assert len(ranks[-1]) == one.num_batches - start
        if start == 0:
            assert len(one) == sum(map(len, ranks[-1]))
    return [[i for part in step for i in part] for step in zip(*ranks, strict=True)]


@pytest.mark.parametrize(("parts", "total"), [(1, 5), (3, 7), (4, 4), (5, 3)])
def test_split(parts, total):
    sizes = split_sizes(total, parts)
    assert sum(sizes) == total and len(sizes) == parts
    assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_sample_once(shuffle):
    for epoch in (0, 1):
        seen = [i for batch in globally(2, epoch=epoch, shuffle=shuffle) for i in batch]
        assert sorted(seen) == list(range(23))
        assert (seen == sorted(seen)) == (not shuffle)
        assert len({i.seed for i in seen}) == 23
    assert globally(2, epoch=0) != globally(2, epoch=1)


@pytest.mark.parametrize("drop_last", [True, False])
def test_any_number_of_ranks_makes_the_same_global_batches(drop_last):
    """12 a batch: 12 + 11 samples; seeds and order are the same, too."""
    one = globally(1, batch_size=12, drop_last=drop_last)
    assert [len(batch) for batch in one] == ([12] if drop_last else [12, 11])
    for world_size in (2, 3, 4):
        several = globally(world_size, batch_size=12 // world_size, drop_last=drop_last)
        assert several == one
        assert [[i.seed for i in b] for b in several] == [[i.seed for i in b] for b in one]
        assert all(i.global_batch_size == len(b) for b in several for i in b)
        seeds = [{i.batch_seed for i in b} for b in several]
        assert seeds == [{i.batch_seed for i in b} for b in one]
        assert all(len(s) == 1 for s in seeds) and len(set.union(*seeds)) == len(seeds)


def test_last_batch_needs_a_sample_on_every_rank():
    assert [len(b) for b in globally(4, size=26, batch_size=3)] == [12, 12]
    assert [len(b) for b in globally(4, size=28, batch_size=3)] == [12, 12, 4]
    assert [len(b) for b in globally(1, size=1, batch_size=3)] == [1]


@pytest.mark.parametrize("start", [0, 1, 3, 4])
def test_starts_anywhere(start):
    whole = globally(2, epoch=3)
    assert globally(2, epoch=3, start=start) == whole[start:]
    one = sampler(size=23)
    one.set_position(3, 1)
    one.set_epoch(3)
    assert [int(i) for i in one] == [int(i) for batch in globally(1, epoch=3) for i in batch]


def test_repeats_have_other_seeds():
    seen = [i for batch in globally(2, size=5, repeats=3) for i in batch]
    assert sorted(seen) == sorted(3 * list(range(5)))
    assert len({i.seed for i in seen}) == 15


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("samples", [7, 23, 24, 60])
def test_short_and_long_epochs_show_every_sample_equally_often(samples, drop_last):
    """23 samples, 6 a batch: epochs end inside a pass, and what is left out comes later."""
    options = dict(samples_per_epoch=samples, drop_last=drop_last)
    counts, lengths = Counter(), set()
    for epoch in range(12):
        seen = [i for batch in globally(2, epoch=epoch, **options) for i in batch]
        counts.update(map(int, seen))
        lengths.add(len(seen))
        times = [counts[i] for i in range(23)]
        assert max(times) - min(times) <= 1
    assert lengths == {samples - samples % 6 if drop_last or samples % 6 == 1 else samples}
    assert sum(times) == 12 * lengths.pop()


def test_short_epochs_are_stretches_of_whole_ones():
    whole = [i for epoch in (0, 1, 2) for batch in globally(1, epoch=epoch) for i in batch]
    short = [
        i
        for epoch in range(6)
        for batch in globally(1, epoch=epoch, samples_per_epoch=11, batch_size=11, repeats=10)
        for i in batch
    ]
    assert [int(i) for i in short] == [int(i) for i in whole][:66]
    assert len({i.seed for i in short}) == 66


def test_short_epochs_on_any_number_of_ranks_from_any_start():
    options = dict(samples_per_epoch=20, epoch=5)
    one = globally(1, batch_size=12, **options)
    assert [len(batch) for batch in one] == [12, 8]
    for world_size in (2, 3, 4):
        several = globally(world_size, batch_size=12 // world_size, **options)
        assert several == one
        assert globally(world_size, batch_size=12 // world_size, start=1, **options) == one[1:]


def test_short_epochs_in_order():
    seen = [
        [
            int(i)
            for batch in globally(1, 5, epoch=epoch, samples_per_epoch=3, shuffle=False)
            for i in batch
        ]
        for epoch in range(3)
    ]
    assert seen == [[0, 1, 2], [3, 4, 0], [1, 2, 3]]


def test_index_goes_to_workers_whole():
    index = pickle.loads(pickle.dumps(SampleIndex(7, 123, 64, 5)))
    assert (index, index.seed, index.global_batch_size, index.batch_seed) == (7, 123, 64, 5)
    assert index == 7 and [5, 6][index - 6] == 6
    other = index.moved_to(3)
    assert (other, other.seed, other.global_batch_size, other.batch_seed) == (3, 124, 64, 5)


def test_refuses():
    with pytest.raises(ValueError, match="repeats"):
        ResumableSampler(range(3), repeats=0)
    with pytest.raises(ValueError, match="samples_per_epoch must be at least 1, got 0"):
        ResumableSampler(range(3), samples_per_epoch=0)
    with pytest.raises(ValueError, match="4 training samples make no batch of 5"):
        sampler(size=50, batch_size=5, drop_last=True, samples_per_epoch=4)
    with pytest.raises(ValueError, match="5 training samples make no batch of 6"):
        sampler(size=5, batch_size=6, drop_last=True)
    with pytest.raises(RuntimeError, match="ResumableTrainLoop"):
        len(ResumableSampler(range(3)))
