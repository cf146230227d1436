"""Two real ranks, one of which comes later than a collective may take."""

import time

import numpy as np
import pytest
import torch
from helpers.ranks import on_two_ranks
from mmengine import dist

from cmac_mm.mining import FeatureSource, cluster, clustering
from cmac_mm.utils.dist import on_main_rank, wait_for_all_ranks

LIMIT, LATE = 2, 5


def _collective_alone(rank):
    time.sleep(LATE * rank)
    dist.all_reduce(torch.ones(1))


def _after_waiting(rank):
    sums = []
    for late in (1, 0):
        time.sleep(LATE * (rank == late))
        wait_for_all_ranks()
        value = torch.full((1,), 1.0 + rank)
        dist.all_reduce(value)
        sums.append(value.item())
    return sums


def _on_main_rank(rank):
    return on_main_rank(_late, LATE)


def _late(seconds):
    time.sleep(seconds)
    return seconds


def _cluster(rank):
    """The main rank is late with the fit, the other one with its share of the assignment."""
    fit, assign = clustering.fit_kmeans, clustering.nearest_centroids

    def late_fit(*args, **kwargs):
        time.sleep(LATE)
        return fit(*args, **kwargs)

    def late_assign(*args):
        time.sleep(LATE * rank)
        return assign(*args)

    clustering.fit_kmeans, clustering.nearest_centroids = late_fit, late_assign
    rows = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    found = cluster(FeatureSource([rows]), 3, seed=0, backend="sklearn", chunk_size=30)
    return torch.from_numpy(found.labels)


def test_a_collective_alone_runs_into_the_limit(tmp_path):
    """So what follows is tested in earnest."""
    with pytest.raises(AssertionError, match="Timed out waiting"):
        on_two_ranks(_collective_alone, tmp_path, LIMIT)


def test_a_rank_may_sleep_past_the_limit(tmp_path):
    assert on_two_ranks(_after_waiting, tmp_path, LIMIT) == [[3.0, 3.0]] * 2


def test_the_main_rank_may_work_past_the_limit(tmp_path):
    assert on_two_ranks(_on_main_rank, tmp_path, LIMIT) == [LATE] * 2


def test_clustering_may_take_longer_than_the_limit(tmp_path):
    first, second = on_two_ranks(_cluster, tmp_path, LIMIT)
    assert torch.equal(first, second) and len(first) == 60
