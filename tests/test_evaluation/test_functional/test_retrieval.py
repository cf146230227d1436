import math

import pytest
import torch

from cmac_mm.evaluation.functional.retrieval import (
    chance_recall,
    instance_recall,
    nearest_neighbours,
    recall_at_k,
)


def slow_recall(query, gallery, query_labels, gallery_labels, ks, exclude_self=False):
    """The definition, one pair at a time."""
    hits = dict.fromkeys(ks, 0)
    for i in range(len(query)):
        neighbours = []
        for j in range(len(gallery)):
            if exclude_self and i == j:
                continue
            q, g = query[i].tolist(), gallery[j].tolist()
            dot = sum(a * b for a, b in zip(q, g, strict=True))
            norms = math.sqrt(sum(a * a for a in q)) * math.sqrt(sum(b * b for b in g))
            neighbours.append((-round(dot / norms, 8), j))
        neighbours.sort()
        for k in ks:
            nearest = [gallery_labels[j] for _, j in neighbours[:k]]
            hits[k] += int(query_labels[i] in nearest)
    return {k: hits[k] / len(query) for k in ks}


@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize(("size", "channels", "classes"), [(6, 2, 3), (17, 5, 4), (40, 16, 11)])
@pytest.mark.parametrize("chunk_size", [1, 7, 1000])
def test_recall_equals_slow_loop(size, channels, classes, chunk_size, exclude_self):
    generator = torch.Generator().manual_seed(size)
    gallery = torch.randn(size, channels, generator=generator)
    queries = size if exclude_self else size // 2
    query = gallery if exclude_self else torch.randn(queries, channels, generator=generator)
    gallery_labels = torch.randint(classes, (size,), generator=generator)
    query_labels = (
        gallery_labels if exclude_self else torch.randint(classes, (queries,), generator=generator)
    )
    ks = (1, 2, 5)
    got = recall_at_k(
        query, gallery, query_labels, gallery_labels, ks, chunk_size, exclude_self=exclude_self
    )
    expected = slow_recall(
        query, gallery, query_labels.tolist(), gallery_labels.tolist(), ks, exclude_self
    )
    assert got == pytest.approx(expected)


@pytest.mark.parametrize("chunk_size", [1, 3, 64])
def test_ties_follow_gallery_order_whatever_the_chunks(chunk_size):
    # Few distinct vectors, so that most similarities occur many times.
    generator = torch.Generator().manual_seed(3)
    distinct = torch.randn(4, 8, generator=generator)
    gallery = distinct[torch.randint(4, (60,), generator=generator)]
    query = distinct[torch.randint(4, (30,), generator=generator)]
    gallery_labels = torch.randint(6, (60,), generator=generator)
    query_labels = torch.randint(6, (30,), generator=generator)
    got = recall_at_k(query, gallery, query_labels, gallery_labels, (1, 2, 10), chunk_size)
    expected = slow_recall(
        query, gallery, query_labels.tolist(), gallery_labels.tolist(), (1, 2, 10)
    )
    assert got == pytest.approx(expected)


def test_collapsed_features_find_the_first_item():
    ones = torch.ones(8, 3)
    labels = torch.arange(4).repeat_interleave(2)
    assert recall_at_k(ones, ones, labels, labels, ks=(1, 8)) == {1: 0.25, 8: 1.0}


def test_perfect_and_hopeless_features():
    labels = torch.arange(4).repeat(3)
    one_hot = torch.nn.functional.one_hot(labels, 4).float()
    assert recall_at_k(one_hot, one_hot, labels, labels, (1,), exclude_self=True) == {1: 1.0}
    # Each query sits on the direction of the next class.
    assert recall_at_k(one_hot.roll(1, dims=1), one_hot, labels, labels, (1, 3)) == {1: 0.0, 3: 0.0}


def test_scale_does_not_matter_and_absent_class_is_a_miss():
    query = torch.tensor([[1000.0, 0.0], [0.0, 1e-6]])
    gallery = torch.tensor([[1e-3, 0.0], [0.0, 5.0]])
    gallery_labels = torch.tensor([0, 1])
    assert recall_at_k(query, gallery, torch.tensor([0, 1]), gallery_labels, (1,)) == {1: 1.0}
    assert recall_at_k(query, gallery, torch.tensor([0, 7]), gallery_labels, (1, 2)) == {
        1: 0.5,
        2: 0.5,
    }


def test_exclude_self_with_a_class_of_one():
    features = torch.eye(3)
    labels = torch.tensor([0, 0, 1])
    got = recall_at_k(features, features, labels, labels, ks=(1, 2), exclude_self=True)
    # All similarities tie at 0: sample 0 finds 1 and 1 finds 0; class 1 has no other sample.
    assert got == pytest.approx({1: 2 / 3, 2: 2 / 3})


@pytest.mark.parametrize("chunk_size", [1, 4, 99])
def test_instance_recall_equals_slow_loop(chunk_size):
    generator = torch.Generator().manual_seed(0)
    visual = torch.randn(25, 6, generator=generator)
    audio = visual + 0.8 * torch.randn(25, 6, generator=generator)
    rows = list(range(25))
    for query, gallery in ((visual, audio), (audio, visual)):
        expected = slow_recall(query, gallery, rows, rows, (1, 5, 10))
        assert instance_recall(query, gallery, (1, 5, 10), chunk_size) == pytest.approx(expected)
        assert 0 < expected[1] < 1


def test_instance_recall_of_a_cyclic_shift_is_zero():
    eye = torch.eye(5)
    assert instance_recall(eye, eye, ks=(1,)) == {1: 1.0}
    # Row i finds row i + 1 first, then the others tie at 0 in the gallery's order.
    assert instance_recall(eye, eye.roll(1, dims=0), ks=(1, 5)) == {1: 0.0, 5: 1.0}


def test_bad_input_is_refused():
    x, y = torch.randn(5, 3), torch.arange(5)
    zero, nan = x.clone(), x.clone()
    zero[2] = 0
    nan[4, 1] = torch.nan
    with pytest.raises(ValueError, match="query: row 2 is all zeros"):
        recall_at_k(zero, x, y, y, (1,))
    with pytest.raises(ValueError, match="gallery: row 4 has values that are not finite"):
        recall_at_k(x, nan, y, y, (1,))
    with pytest.raises(ValueError, match="k = 6"):
        recall_at_k(x, x, y, y, (1, 6))
    with pytest.raises(ValueError, match="k = 5"):
        recall_at_k(x, x, y, y, (5,), exclude_self=True)
    with pytest.raises(ValueError, match="k = 0"):
        recall_at_k(x, x, y, y, (0,))
    with pytest.raises(ValueError, match="as many queries"):
        recall_at_k(x[:4], x, y[:4], y, (1,), exclude_self=True)
    with pytest.raises(ValueError, match="gallery_labels: expected shape"):
        recall_at_k(x, x, y, y[:4], (1,))
    with pytest.raises(ValueError, match="3 channels, gallery has 2"):
        recall_at_k(x, x[:, :2], y, y, (1,))
    with pytest.raises(ValueError, match="query: expected a matrix"):
        recall_at_k(x[:0], x, y[:0], y, (1,))
    with pytest.raises(ValueError, match="chunk_size"):
        recall_at_k(x, x, y, y, (1,), chunk_size=0)
    with pytest.raises(ValueError, match="equal shape"):
        instance_recall(x, x[:4], (1,))


def test_chance_closed_form():
    gallery = torch.tensor([0, 0, 1, 1, 1, 2])
    queries = torch.tensor([0, 1, 2, 3])  # class 3 is not in the gallery
    got = chance_recall(queries, gallery, ks=(1, 2, 6))
    assert got[1] == pytest.approx((2 / 6 + 3 / 6 + 1 / 6 + 0) / 4)
    pairs = 15
    assert got[2] == pytest.approx((1 - 6 / pairs + 1 - 3 / pairs + 1 - 10 / pairs + 0) / 4)
    assert got[6] == pytest.approx(3 / 4)


def test_chance_is_what_random_features_reach():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(7, (300,), generator=generator)
    query_labels = torch.randint(7, (4000,), generator=generator)
    got = recall_at_k(
        torch.randn(4000, 64, generator=generator),
        torch.randn(300, 64, generator=generator),
        query_labels,
        labels,
        ks=(1, 5),
    )
    assert got == pytest.approx(chance_recall(query_labels, labels, ks=(1, 5)), abs=0.03)


def test_chance_bad_input_is_refused():
    labels = torch.arange(3)
    with pytest.raises(ValueError, match="k = 4"):
        chance_recall(labels, labels, ks=(4,))
    with pytest.raises(ValueError, match="query_labels is empty"):
        chance_recall(labels[:0], labels, ks=(1,))


def slow_neighbours(query, gallery, distance):
    """All gallery items of each query, nearest first, one pair at a time."""
    rows = []
    for q in query.double():
        pairs = []
        for j, g in enumerate(gallery.double()):
            if distance == "cosine":
                far = -(q @ g / q.norm() / g.norm()).item()
            else:
                far = (q - g).square().sum().item()
            pairs.append((round(far, 7), j))
        rows.append([j for _, j in sorted(pairs)])
    return rows


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("chunk_size", [1, 4, 100])
def test_neighbours_equal_slow_loop(distance, chunk_size):
    generator = torch.Generator().manual_seed(2)
    gallery = torch.randint(-2, 3, (40, 3), generator=generator).float() + 0.5  # many ties
    query = torch.randn(9, 3, generator=generator)
    expected = slow_neighbours(query, gallery, distance)
    index, similarity = nearest_neighbours(query, gallery, 12, chunk_size, distance)
    assert index.tolist() == [row[:12] for row in expected]
    assert (similarity.diff(dim=1) <= 0).all()
    # Recall from the same order.
    labels = torch.randint(6, (40,), generator=generator)
    query_labels = torch.randint(6, (9,), generator=generator)
    for k in (1, 4):
        hits = [int(query_labels[i]) in labels[row[:k]].tolist() for i, row in enumerate(expected)]
        got = recall_at_k(query, gallery, query_labels, labels, (k,), chunk_size, distance=distance)
        assert got[k] == pytest.approx(sum(hits) / 9)


def test_neighbours_of_gallery_items_are_themselves():
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    for distance, best in (("cosine", 1), ("euclidean", 0)):
        index, similarity = nearest_neighbours(x, x, 1, distance=distance)
        assert index[:, 0].tolist() == list(range(5))
        assert (similarity == best).all()
    zeros = torch.zeros(3, 2)  # fine for distances, no direction for cosine
    assert nearest_neighbours(zeros, zeros, 3, distance="euclidean")[0].tolist() == [[0, 1, 2]] * 3


def test_unknown_distance_and_too_many_neighbours_are_refused():
    x, y = torch.randn(5, 3), torch.arange(5)
    with pytest.raises(ValueError, match="distance must be one of cosine, euclidean, got 'l1'"):
        recall_at_k(x, x, y, y, (1,), distance="l1")
    with pytest.raises(ValueError, match="k = 6"):
        nearest_neighbours(x, x, 6)
