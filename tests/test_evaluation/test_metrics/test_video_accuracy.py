"""The metric of action recognition against a loop, at its edges, and against AccMetric."""

import numpy as np
import pytest
import torch
from mmaction.evaluation import AccMetric

from cmac_mm.evaluation import VideoAccuracy


def predictions(scores, labels):
    return [
        dict(pred_score=torch.tensor(row, dtype=torch.float32), gt_label=torch.tensor([label]))
        for row, label in zip(scores, labels, strict=True)
    ]


def evaluate(scores, labels, metric=VideoAccuracy):
    metric = metric()
    for sample in predictions(scores, labels):
        metric.process({}, [sample])
    return metric.evaluate(len(labels))


def by_loop(scores, labels):
    hits1, hits5, by_class = 0, 0, {}
    for row, label in zip(scores, labels, strict=True):
        ranks = sorted(range(len(row)), key=lambda c: -row[c])
        hits1 += ranks[0] == label
        hits5 += label in ranks[:5]
        by_class.setdefault(label, []).append(ranks[0] == label)
    mean = sum(sum(hits) / len(hits) for hits in by_class.values()) / len(by_class)
    return {
        "acc/top1": hits1 / len(labels),
        "acc/top5": hits5 / len(labels),
        "acc/mean_class": mean,
    }


@pytest.mark.parametrize(("videos", "classes"), [(1, 6), (7, 9), (200, 101)])
def test_agrees_with_a_loop(videos, classes):
    rng = np.random.default_rng(videos)
    scores = rng.random((videos, classes), np.float32)
    labels = rng.integers(classes, size=videos).tolist()
    scores[range(videos), labels] += 0.3  # better than chance
    assert evaluate(scores, labels) == pytest.approx(by_loop(scores, labels))


def test_agrees_with_mmaction2_where_every_class_has_videos():
    rng = np.random.default_rng(0)
    scores, labels = rng.random((60, 6), np.float32), [i % 6 for i in range(60)]
    theirs = evaluate(scores, labels, AccMetric)
    theirs["acc/mean_class"] = theirs.pop("acc/mean1")
    assert evaluate(scores, labels) == pytest.approx(theirs)


def test_a_class_without_test_videos_does_not_count():
    # Class 0: 2 of 2 right; class 1: taken for class 2, which has no videos.
    scores = [[9, 0, 1, 0, 0, 0], [9, 0, 1, 0, 0, 0], [0, 1, 9, 0, 0, 0]]
    metrics = evaluate(scores, [0, 0, 1])
    assert metrics["acc/mean_class"] == pytest.approx(1 / 2)  # MMAction2 says 1 / 3
    assert evaluate(scores, [0, 0, 1], AccMetric)["acc/mean1"] == pytest.approx(1 / 3)


def test_five_classes_have_no_top5():
    assert evaluate(np.eye(5), range(5)) == {"acc/top1": 1, "acc/mean_class": 1}


def test_refuses_what_is_no_result():
    with pytest.raises(
        ValueError, match=r"label 6 in the test list, but the network has 6 classes"
    ):
        evaluate(np.eye(6), [0, 1, 2, 3, 4, 6])
    scores = np.eye(6)
    scores[2] = np.nan
    with pytest.raises(ValueError, match=r"scores of 1 of 6 videos are NaN or infinite"):
        evaluate(scores, range(6))
