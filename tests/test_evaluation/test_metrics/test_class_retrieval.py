from pathlib import Path

import pytest
import torch
from mmaction.registry import METRICS

from cmac_mm.evaluation import ClassRetrieval
from cmac_mm.evaluation.functional import identical_files


def make_samples(query, gallery, query_labels, gallery_labels, names=None):
    """Predictions as the model gives them, queries and gallery items shuffled."""
    features = torch.cat([gallery, query])
    labels = torch.cat([gallery_labels, query_labels])
    samples = [
        dict(
            visual_feature=features[row],
            gt_label=labels[row : row + 1],
            sample_idx=row,
            in_gallery=row < len(gallery),
            filename=names[row] if names else f"missing/{row}.avi",
        )
        for row in range(len(features))
    ]
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(1)).tolist()
    return [samples[row] for row in order]


def evaluate(samples, **options):
    metric = METRICS.build(dict(type="ClassRetrieval", **options))
    metric.process({}, samples[:5])
    metric.process({}, samples[5:])
    metric.process({}, samples[:2])  # a distributed sampler pads
    return metric.compute_metrics(metric.results)


def slow_recall(query, gallery, query_labels, gallery_labels, k, distance):
    """The definition, one pair at a time."""
    hits = 0
    for q, label in zip(query.double(), query_labels.tolist(), strict=True):
        found = []
        for row, g in enumerate(gallery.double()):
            if distance == "cosine":
                far = -(q @ g / q.norm() / g.norm()).item()
            else:
                far = (q - g).square().sum().sqrt().item()
            found.append((far, row))
        nearest = [int(gallery_labels[row]) for _, row in sorted(found)[:k]]
        hits += label in nearest
    return hits / len(query)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize(("queries", "size"), [(1, 3), (13, 30), (40, 61)])
@pytest.mark.parametrize("chunk_size", [1, 7, 1024])
def test_equals_slow_loop(distance, queries, size, chunk_size):
    generator = torch.Generator().manual_seed(size)
    query = torch.randn(queries, 6, generator=generator)
    gallery = 3 * torch.randn(size, 6, generator=generator)
    query_labels = torch.randint(5, (queries,), generator=generator)
    gallery_labels = torch.randint(5, (size,), generator=generator)
    got = evaluate(
        make_samples(query, gallery, query_labels, gallery_labels),
        ks=(1, 3),
        distance=distance,
        chunk_size=chunk_size,
    )
    for k in (1, 3):
        expected = slow_recall(query, gallery, query_labels, gallery_labels, k, distance)
        assert got[f"R@{k}"] == pytest.approx(expected)
    assert (got["num_query"], got["num_gallery"], got["num_duplicates"]) == (queries, size, 0)
    assert "R@1_without_duplicates" not in got


def test_closed_form_and_chance():
    gallery, labels = torch.eye(4), torch.tensor([0, 0, 1, 2])
    query = torch.tensor([[1.0, 0.1, 0, 0], [0, 0, 0.1, 1.0]])
    got = evaluate(make_samples(query, gallery, torch.tensor([0, 1]), labels), ks=(1, 2))
    assert (got["R@1"], got["R@2"]) == (0.5, 1.0)
    assert got["chance_R@1"] == pytest.approx((2 / 4 + 1 / 4) / 2)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_duplicates_are_counted_and_recall_is_given_without_them(distance, tmp_path):
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(6, 4, generator=generator)
    query = torch.randn(4, 4, generator=generator)
    query[0] = gallery[5]  # the same feature
    gallery_labels, query_labels = torch.arange(6) % 3, torch.tensor([2, 0, 1, 1])
    names = [str(tmp_path / f"{row}.avi") for row in range(10)]
    for row, name in enumerate(names):
        Path(name).write_bytes(bytes([row]) * (10 + row % 3))
    (tmp_path / "7.avi").write_bytes((tmp_path / "1.avi").read_bytes())  # query 1: the same file
    samples = make_samples(query, gallery, query_labels, gallery_labels, names)
    got = evaluate(samples, ks=(1,), distance=distance)
    assert got["num_duplicates"] == 2
    expected = slow_recall(query[2:], gallery, query_labels[2:], gallery_labels, 1, distance)
    assert got["R@1_without_duplicates"] == pytest.approx(expected)
    everyone = slow_recall(query, gallery, query_labels, gallery_labels, 1, distance)
    assert got["R@1"] == pytest.approx(everyone)


def test_identical_files_reads_content(tmp_path):
    for name, content in (("a", b"123"), ("b", b"124"), ("c", b"123"), ("d", b"1234")):
        (tmp_path / name).write_bytes(content)
    a, b, c, d = (str(tmp_path / name) for name in "abcd")
    assert identical_files([c, b, d, "http://x/y.avi"], [a, a]) == [True, False, False, False]


def test_ks_beyond_the_gallery_and_classes_without_gallery_items():
    gallery, query = torch.eye(3), torch.eye(3)[:2] + 0.1
    samples = make_samples(query, gallery, torch.tensor([0, 9]), torch.arange(3))
    got = evaluate(samples)
    assert {name for name in got if name.startswith("R@")} == {"R@1"}
    assert got["R@1"] == 0.5  # class 9 can find nothing, and counts


def test_bad_input_is_refused():
    sample = make_samples(torch.eye(2), torch.eye(2), torch.arange(2), torch.arange(2))[0]
    for key in ("visual_feature", "gt_label", "in_gallery"):
        metric = ClassRetrieval()
        with pytest.raises(ValueError, match=f"{sample['filename']} lacks {key}"):
            metric.process({}, [{k: v for k, v in sample.items() if k != key}])
    metric = ClassRetrieval()
    metric.process({}, [sample])
    with pytest.raises(ValueError, match="expected both"):
        metric.compute_metrics(metric.results)
    with pytest.raises(ValueError, match="distance must be"):
        ClassRetrieval(distance="manhattan")
    with pytest.raises(ValueError, match="ks: expected"):
        ClassRetrieval(ks=(0,))
