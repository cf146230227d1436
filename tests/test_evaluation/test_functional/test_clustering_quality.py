"""NMI and purity of clusters against loops."""

from __future__ import annotations

from collections import Counter
from math import log, sqrt

import numpy as np
import pytest

from cmac_mm.evaluation.functional import normalized_mutual_information, purity_table


def labels(size, k, seed, share_left_out=0.0):
    generator = np.random.default_rng(seed)
    drawn = generator.integers(k, size=size)
    return np.where(generator.random(size) < share_left_out, -1, drawn).astype(np.int32)


def nmi_by_loop(a, b):
    pairs = [(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True) if x >= 0 and y >= 0]
    n = len(pairs)
    p_a, p_b = (Counter(pair[i] for pair in pairs) for i in (0, 1))
    information = 0.0
    for (x, y), count in Counter(pairs).items():
        information += count / n * log(count * n / (p_a[x] * p_b[y]))
    h_a, h_b = (-sum(c / n * log(c / n) for c in p.values()) for p in (p_a, p_b))
    return information / sqrt(h_a * h_b)


@pytest.mark.parametrize("share_left_out", [0.0, 0.3])
@pytest.mark.parametrize(("size", "k"), [(10, 2), (100, 7), (1000, 40)])
def test_nmi_is_that_of_a_loop(size, k, share_left_out):
    a, b = labels(size, k, 0, share_left_out), labels(size, k + 3, 1, share_left_out)
    b = np.where(np.arange(size) % 3 == 0, a, b)
    assert normalized_mutual_information(a, b) == pytest.approx(nmi_by_loop(a, b))
    assert normalized_mutual_information(b, a) == pytest.approx(nmi_by_loop(a, b))


def test_nmi_in_closed_form():
    a = np.array([0, 0, 1, 1, 2, 2])
    assert normalized_mutual_information(a, (a + 5) % 7) == pytest.approx(1)
    assert normalized_mutual_information(np.arange(4) // 2, np.arange(4) % 2) == pytest.approx(0)
    # Halves against quarters: I = log 2, H = log 2 and log 4.
    halves, quarters = np.arange(8) // 4, np.arange(8) // 2
    assert normalized_mutual_information(halves, quarters) == pytest.approx(1 / sqrt(2))
    with pytest.raises(ValueError, match=r"\(6,\) and \(5,\)"):
        normalized_mutual_information(a, a[:5])
    with pytest.raises(ValueError, match="none of 6 samples has both"):
        normalized_mutual_information(a, -np.ones(6, int))


@pytest.mark.parametrize("top", [1, 3, 50])
@pytest.mark.parametrize(("size", "k", "num_classes"), [(1, 1, 1), (60, 5, 3), (500, 30, 12)])
def test_purity_is_that_of_a_loop(size, k, num_classes, top):
    clusters, classes = labels(size, k, 0), labels(size, num_classes, 1)
    if size > 1:
        clusters[::7] = -1
        classes[3::11] = -1
    names = [f"class {i}" for i in range(num_classes)]
    expected = []
    for cluster in range(k):
        members = [
            int(c) for j, c in zip(clusters, classes, strict=True) if j == cluster and c >= 0
        ]
        if not members:
            continue
        counts = sorted(Counter(members).items(), key=lambda item: (-item[1], item[0]))
        shares = [(names[c], count / len(members)) for c, count in counts[:top]]
        expected.append((cluster, len(members), counts[0][1] / len(members), shares))
    expected.sort(key=lambda row: (-row[2], -row[1], row[0]))
    assert [tuple(row) for row in purity_table(clusters, classes, names, top)] == expected


def test_purity_in_closed_form():
    clusters = np.array([4, 4, 4, 1, 1, 1, 1, 9, -1])
    classes = np.array([0, 0, 1, 2, 2, 2, 2, 1, 0])
    table = purity_table(clusters, classes, ["cello", "flute", "drum"], top=2)
    assert [row.cluster for row in table] == [1, 9, 4]
    assert [row.purity for row in table] == [1, 1, pytest.approx(2 / 3)]
    assert table[0].concepts == [("drum", 1.0)]
    assert table[2].size == 3
    assert table[2].concepts == [("cello", 2 / 3), ("flute", 1 / 3)]


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="class 2 has no name: got 2 names"):
        purity_table(np.zeros(3, int), np.arange(3), ["a", "b"])
    with pytest.raises(ValueError, match="top must be at least 1, got 0"):
        purity_table(np.zeros(3, int), np.arange(3), ["a", "b", "c"], top=0)
