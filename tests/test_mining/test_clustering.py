"""K-means over chunks and ranks against a loop, planted clusters, and itself."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch
from helpers.processes import run_code
from helpers.ranks import on_two_ranks
from mmengine.logging import MMLogger
from sklearn.decomposition import PCA

import cmac_mm.mining.kmeans
from cmac_mm.evaluation.functional import normalized_mutual_information
from cmac_mm.mining import Clustering, FeatureSource, cluster, nearest_centroids

BACKENDS = ["faiss", "sklearn"]
FIELDS = ("labels", "distances", "centroids")


def random_features(size, dim=8, seed=0):
    return np.random.default_rng(seed).standard_normal((size, dim)).astype(np.float32)


def planted(size, k, dim=16, seed=0):
    """Rows around centres that are far from each other, and which one each is of."""
    generator = np.random.default_rng(seed)
    centres = np.eye(dim)[:k] * np.where(np.arange(k) % 2, 1, -1)[:, None] if k <= dim else None
    labels = np.concatenate([np.arange(k), generator.integers(k, size=size - k)])
    features = centres[labels] + 0.02 * generator.standard_normal((size, dim))
    return features.astype(np.float32), labels


def loop(features, centroids):
    """One distance after the other, in double precision; of equal ones the first."""
    labels, distances = [], []
    for row in features.astype(np.float64):
        of_row = [float(((row - c) ** 2).sum()) for c in centroids.astype(np.float64)]
        labels.append(min(range(len(of_row)), key=of_row.__getitem__))
        distances.append(min(of_row) ** 0.5)
    return labels, distances


@pytest.fixture
def log(monkeypatch):
    """Messages of the current logger."""
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append((record.levelname, record.getMessage()))
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.mark.parametrize("k", [1, 2, 5, 13])
@pytest.mark.parametrize("size", [13, 50, 211])
@pytest.mark.parametrize("backend", BACKENDS)
def test_is_what_a_loop_assigns(size, k, backend):
    features = random_features(size)
    source = FeatureSource([features], normalize=False)
    found = cluster(source, k, seed=3, backend=backend, chunk_size=7)
    labels, distances = loop(features, found.centroids)
    assert found.labels.tolist() == labels
    np.testing.assert_allclose(found.distances, distances, rtol=1e-5, atol=1e-6)
    assert found.labels.dtype == np.int32 and found.distances.dtype == np.float32
    assert found.centroids.dtype == np.float32 and found.centroids.shape == (k, 8)
    assert set(labels) == set(range(k))  # none is empty


@pytest.mark.parametrize("pca_dim", [None, 7])
@pytest.mark.parametrize("backend", BACKENDS)
def test_planted_clusters_are_found(backend, pca_dim):
    features, labels = planted(400, 8)
    found = cluster(FeatureSource([features]), 8, seed=0, backend=backend, pca_dim=pca_dim)
    assert normalized_mutual_information(found.labels, labels) == pytest.approx(1)
    assert (found.distances < 0.5).all()


# scikit-learn's draws batches of rows, with repetition.
@pytest.mark.parametrize(("backend", "tolerance"), [("faiss", 1e-6), ("sklearn", 0.2)])
def test_one_cluster_is_the_mean(backend, tolerance):
    features = random_features(101)
    source = FeatureSource([features], normalize=False)
    found = cluster(source, 1, seed=0, backend=backend)
    assert found.labels.tolist() == [0] * 101
    np.testing.assert_allclose(found.centroids[0], features.mean(0), atol=tolerance)


@pytest.mark.parametrize(("backend", "tolerance"), [("faiss", 1e-6), ("sklearn", 0.2)])
def test_as_many_clusters_as_rows(backend, tolerance):
    found = cluster(FeatureSource([random_features(23)]), 23, seed=0, backend=backend)
    assert sorted(found.labels) == list(range(23))
    np.testing.assert_allclose(found.distances, 0, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(3))
def test_as_many_clusters_as_distinct_rows(backend, seed):
    """Each must become one cluster, however often it is repeated."""
    labels = np.repeat(np.arange(10), [1, 1, 1, 2, 3, 5, 60, 80, 100, 200])
    labels = np.random.default_rng(seed).permutation(labels)
    found = cluster(FeatureSource([random_features(10)[labels]]), 10, seed=seed, backend=backend)
    assert normalized_mutual_information(found.labels, labels) == pytest.approx(1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_fewer_distinct_rows_than_clusters(backend, log):
    labels = np.arange(60) % 4
    found = cluster(FeatureSource([random_features(4)[labels]]), 6, seed=0, backend=backend)
    assert normalized_mutual_information(found.labels, labels) == pytest.approx(1)
    assert ("WARNING", "2 of 6 clusters stay empty") in [
        (level, text[9 : 9 + 26]) for level, text in log
    ]
    same = cluster(FeatureSource([np.ones((20, 3), np.float32)]), 5, seed=0, backend=backend)
    assert len(set(same.labels)) == 1
    assert np.isfinite(same.centroids).all()


def test_an_empty_cluster_is_split_off_the_largest(monkeypatch, log):
    """A library that leaves two of four empty."""
    features, _ = planted(300, 4)
    real = cmac_mm.mining.kmeans.fit_kmeans

    def leaves_some_empty(features, num_clusters, **kwargs):
        if num_clusters == 2:
            return real(features, num_clusters, **kwargs)
        # -x is as far as can be from unit vectors near x: these two have no row.
        middle = features.mean(0)
        return np.stack([features[0], -50 * middle, features[0] - 1e-3, 50 + middle]), 0

    monkeypatch.setattr("cmac_mm.mining.clustering.fit_kmeans", leaves_some_empty)
    found = cluster(FeatureSource([features]), 4, seed=0)
    assert (np.bincount(found.labels, minlength=4) > 0).all()
    assert found.num_split >= 2
    assert (
        found.labels.tolist()
        == loop(FeatureSource([features]).read(slice(0, 300)), found.centroids)[0]
    )
    assert any("empty clusters split: 1 off" in text for _, text in log)


def test_splits_of_the_library_are_counted():
    """200 rows at one place draw several of faiss' first centroids."""
    features = np.concatenate([np.ones((200, 4), np.float32), random_features(10, 4)])
    found = cluster(FeatureSource([features], normalize=False), 8, seed=0, backend="faiss")
    assert found.num_split > 0
    assert (np.bincount(found.labels, minlength=8) > 0).all()


def test_sample_is_drawn_and_all_rows_are_assigned():
    features, labels = planted(3000, 4)
    found = cluster(FeatureSource([features]), 4, seed=0, max_points_per_centroid=20)
    assert normalized_mutual_information(found.labels, labels) == pytest.approx(1)
    other = cluster(FeatureSource([features]), 4, seed=0, max_points_per_centroid=750)
    assert not np.array_equal(found.centroids, other.centroids)


def test_all_rows_are_seen_unless_told_otherwise():
    """One cluster's centre is the mean of all rows, and of the sample where one is asked for."""
    features = random_features(3000, 4)
    mean = features.mean(axis=0)
    every = cluster(FeatureSource([features], normalize=False), 1, seed=0)
    few = cluster(FeatureSource([features], normalize=False), 1, seed=0, max_points_per_centroid=9)
    assert abs(every.centroids - mean).max() < (1e-5 if "faiss" in BACKENDS else 0.2)
    assert abs(few.centroids - mean).max() > 0.05


def test_whitening():
    """Whitened features have variance 1 in every direction before they get length 1."""
    generator = np.random.default_rng(0)
    features = generator.standard_normal((500, 6)) @ np.diag([9, 5, 3, 1, 0.1, 0]) + 4
    features = features.astype(np.float32)
    source = FeatureSource([features], normalize=False)
    found = cluster(source, 3, seed=0, pca_dim=5, chunk_size=64)
    white = (features - found.whitening.mean) @ found.whitening.matrix
    np.testing.assert_allclose(np.cov(white.T), np.eye(5), atol=1e-6)
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    np.testing.assert_allclose(found.whitening(features), white, atol=1e-6)
    reference = PCA(5, whiten=True).fit_transform(features.astype(np.float64))
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(white), np.abs(reference), atol=1e-4)
    assert found.labels.tolist() == loop(found.whitening(features), found.centroids)[0]
    # A channel that is always the same gives no direction: zeros, not noise made large.
    found = cluster(source, 3, seed=0, pca_dim=6)
    assert (found.whitening(features)[:, 5] == 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_chunks_make_no_difference(backend):
    source = FeatureSource([random_features(500, 32)])
    expected = cluster(source, 20, seed=1, backend=backend)
    for chunk_size in (1, 33, 499):
        same(cluster(source, 20, seed=1, backend=backend, chunk_size=chunk_size), expected)
    other = cluster(source, 20, seed=2, backend=backend)
    assert not np.array_equal(other.centroids, expected.centroids)


def same(a: Clustering, b: Clustering):
    assert a.num_split == b.num_split
    for name in FIELDS:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


@pytest.mark.parametrize("spread", [1.0, 1e-3, 1e-5, 1e-6])
@pytest.mark.parametrize("length", [1e-3, 1.0, 100.0])
def test_nearest_of_rows_that_are_much_alike(spread, length):
    features = (1 + spread * random_features(300)) * np.float32(length)
    centroids = np.concatenate([features[:40], features[:5]])  # five of them twice
    labels, distances = nearest_centroids(features, centroids)
    expected, expected_distances = loop(features, centroids)
    assert labels.tolist() == expected
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-5, atol=1e-7 * length)


@pytest.mark.parametrize("offset", [0, 30])
def test_nearest_of_rows_half_way_between_two(offset):
    """What is nearer is a matter of the last bits, which float32 products get wrong."""
    centroids = random_features(40, 64) + np.float32(offset)
    pairs = np.random.default_rng(1).permuted(np.tile(np.arange(40), (500, 1)), axis=1)[:, :2]
    features = centroids[pairs].mean(axis=1)
    labels, distances = nearest_centroids(features, centroids)
    expected, expected_distances = loop(features, centroids)
    assert labels.tolist() == expected
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-5)
    products = (centroids**2).sum(1) - 2 * features @ centroids.T
    assert (products.argmin(1) != labels).any()  # or there would be nothing to see here


def test_nearest_in_closed_form():
    corners = np.array([[0, 0], [4, 0], [0, 3]], np.float32)
    labels, distances = nearest_centroids(np.array([[4, 3], [2, 0], [0, 1]], np.float32), corners)
    assert labels.tolist() == [1, 0, 0]  # 3 from (4, 0), 4 from (0, 3); the first of two equal ones
    assert distances.tolist() == [3, 2, 1]
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 2\)"):
        nearest_centroids(np.zeros((2, 3), np.float32), corners)


def _joint(path, backend, pca_dim):
    features = np.load(path, mmap_mode="r")
    source = FeatureSource([features, -features[:, :8]], rows=np.arange(1, 501, 2))
    return cluster(source, 12, seed=5, backend=backend, pca_dim=pca_dim, chunk_size=37)


def _with_nan(row):
    features = random_features(100)
    features[row, 2] = np.nan
    return cluster(FeatureSource([features]), 3, seed=5, chunk_size=10, max_points_per_centroid=3)


def _sampled_rows():
    """Those that the main rank fits on in `_with_nan`."""
    return np.random.default_rng(5).choice(100, 9, replace=False, shuffle=False).tolist()


def _unseen_row():
    """One of the last rank's, that is not in the sample."""
    return max(set(range(100)) - set(_sampled_rows()))


JOINT = [("faiss", 10), ("sklearn", None)]


def _run(path, rank):
    result = {}
    for backend, pca_dim in JOINT:
        found = _joint(path, backend, pca_dim)
        result[backend] = {name: torch.from_numpy(getattr(found, name)) for name in FIELDS}
    for row in (_sampled_rows()[0], _unseen_row()):
        with pytest.raises(ValueError, match=f"row {row} holds values that are not finite"):
            _with_nan(row)
    return result


def test_two_ranks_find_what_one_finds(tmp_path):
    """And both refuse what only one of them has read."""
    path = tmp_path / "features.npy"
    np.save(path, random_features(501, 24))
    for found in on_two_ranks(partial(_run, path), tmp_path):
        for backend, pca_dim in JOINT:
            expected = _joint(path, backend, pca_dim)
            for name in FIELDS:
                assert np.array_equal(found[backend][name].numpy(), getattr(expected, name)), name


def test_features_that_are_not_finite_are_refused():
    for row in (_sampled_rows()[0], _unseen_row()):
        with pytest.raises(ValueError, match=f"memory: row {row} holds values that are not finite"):
            _with_nan(row)


def test_bad_arguments_are_refused(monkeypatch):
    source = FeatureSource([random_features(10)])
    for kwargs, message in (
        (dict(num_clusters=11), "num_clusters must be at least 1 and at most .* rows, 10, got 11"),
        (dict(num_clusters=0), "num_clusters must be at least 1 .*, got 0"),
        (dict(num_iterations=0), "num_iterations must be at least 1, got 0"),
        (dict(max_points_per_centroid=0), "max_points_per_centroid must be at least 1, got 0"),
        (dict(chunk_size=0), "chunk_size must be at least 1, got 0"),
        (dict(seed=2**31), "seed must be from 0 to .* got 2147483648"),
        (dict(backend="cuml"), "backend must be 'auto', 'faiss' or 'sklearn', got 'cuml'"),
        (dict(pca_dim=9), "pca_dim must be from 1 to 8 with 10 rows of 8 channels, got 9"),
    ):
        with pytest.raises(ValueError, match=message):
            cluster(source, **{"num_clusters": 2, "seed": 0, **kwargs})
    monkeypatch.setattr(cmac_mm.mining.kmeans, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="faiss-cpu, which is not installed"):
        cluster(source, 2, seed=0, backend="faiss")
    expected = cluster(source, 2, seed=0, backend="sklearn")
    same(cluster(source, 2, seed=0), expected)  # the fallback


def found(code):
    """What a process of its own prints."""
    status, output = run_code(code)
    assert status == 0, output
    return [line for line in output.splitlines() if line.startswith("found")]


HASH = """
import hashlib, numpy as np
import faiss, sklearn.cluster
from threadpoolctl import threadpool_info, threadpool_limits
from cmac_mm.mining import FeatureSource, cluster
threadpool_limits(2)
assert len(pools := [pool["num_threads"] for pool in threadpool_info()]) > 3 and set(pools) == {2}
features = np.random.default_rng(0).standard_normal((3000, 32)).astype(np.float32)
for backend in ("faiss", "sklearn", "faiss", "sklearn"):
    f = cluster(FeatureSource([features]), 20, seed=7, pca_dim=10, backend=backend)
    found = b"".join(x.tobytes() for x in (f.labels, f.distances, f.centroids))
    print("found", hashlib.sha1(found).hexdigest())
"""


def test_runs_with_several_threads_are_equal_bit_by_bit():
    digests = [line for _ in range(2) for line in found(HASH)]
    assert len(digests) == 8
    assert len(set(digests)) == 2
    assert digests[0::2] == digests[:1] * 4 and digests[1::2] == digests[1:2] * 4


MEMORY = """
import re
from pathlib import Path
import numpy as np
from cmac_mm.mining import FeatureSource, cluster
def peak():  # not getrusage's, which holds that of the parent
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
def run(features, pca_dim):
    found = cluster(FeatureSource([features, features]), 8, seed=0, pca_dim=pca_dim,
                    num_iterations=2, max_points_per_centroid=64, chunk_size=1024)
    assert len(found.labels) == len(features)
features = np.load({path!r}, mmap_mode="r")
run(np.array(features[:2000]), 16)  # what the libraries take
Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is used now
before = peak()
run(features, None)
run(features, 16)
print("found", peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_is_that_of_a_chunk_not_of_the_file(tmp_path):
    path = tmp_path / "features.npy"
    features = np.lib.format.open_memmap(path, "w+", np.float32, (250_000, 256))  # 244 MiB
    part = random_features(10_000, 256)
    for start in range(0, len(features), len(part)):
        features[start : start + len(part)] = np.roll(part, start // len(part), axis=1)
    del features
    (grown,) = found(MEMORY.format(path=str(path)))
    assert int(grown.split()[1]) < 40 * 1024  # KiB; a chunk of both takes 2 MiB, 16 bytes a row 4


FORK = """
import numpy as np, torch
from torch.utils.data import DataLoader, Dataset
from cmac_mm.mining import FeatureSource, cluster
class Products(Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, i):
        return (torch.ones(300, 300) @ torch.ones(300, 300)).sum()
features = np.random.default_rng(0).standard_normal((5000, 64)).astype(np.float32)
weight = torch.ones(400, 400, requires_grad=True)
options = dict(num_workers=2, multiprocessing_context="fork")
persistent = DataLoader(Products(), persistent_workers=True, **options)
for backend in ("faiss", "sklearn", "faiss"):
    cluster(FeatureSource([features]), 30, seed=0, backend=backend)
    for loader in (persistent, DataLoader(Products(), **options)):
        assert sum(float(x) for x in loader) == 8 * 300**3
    (weight @ weight).sum().backward()
print("found")
"""


def test_forked_workers_and_training_go_on_beside_it():
    """Faiss and torch each bring OpenMP, of whose threads a fork keeps none."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True)
    assert done.stdout.endswith("\nfound\n"), done.stderr
