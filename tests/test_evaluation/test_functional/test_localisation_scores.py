"""Scores of localisation against the protocol's definition, one pixel at a time."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from cmac_mm.evaluation.functional import (
    box_region,
    centre_maps,
    consensus_iou,
    consensus_map,
    localisation_scores,
    predicted_region,
    random_maps,
)

SIDE = 224


def slow_resize(cells, size):
    """Bilinear, pixel centres on cell centres, edges held."""
    height, width = len(cells), len(cells[0])
    out = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(size):
            y = min(max((i + 0.5) * height / size - 0.5, 0), height - 1)
            x = min(max((j + 0.5) * width / size - 0.5, 0), width - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            dy, dx = y - top, x - left
            upper = cells[top][left] * (1 - dx) + cells[top][right] * dx
            lower = cells[bottom][left] * (1 - dx) + cells[bottom][right] * dx
            out[i][j] = upper * (1 - dy) + lower * dy
    return out


def slow_ciou(cells, boxes, consensus):
    """One picture, by the book: resize, scale to [0, 1], cut at the median, compare with votes."""
    resized = slow_resize(cells, SIDE)
    values = [value for row in resized for value in row]
    low, high = min(values), max(values)
    scaled = [[(value - low) / (high - low) for value in row] for row in resized]
    cut = sorted(value for row in scaled for value in row)[SIDE * SIDE // 2]
    inside = truth = outside = 0.0
    for i in range(SIDE):
        for j in range(SIDE):
            votes = 0
            for own in boxes:
                votes += any(
                    int(SIDE * min(max(x1, 0), 1)) <= j < int(SIDE * min(max(x2, 0), 1))
                    and int(SIDE * min(max(y1, 0), 1)) <= i < int(SIDE * min(max(y2, 0), 1))
                    for x1, y1, x2, y2 in own
                )
            value = min(1, votes / consensus)
            predicted = scaled[i][j] >= cut
            inside += predicted * value
            truth += value
            outside += predicted and value == 0
    return inside / (truth + outside)


ONE = [[[0.1, 0.2, 0.6, 0.95]]]
TWO = [[[0.1, 0.2, 0.6, 0.95], [0.5, 0.0, 1.0, 0.4]]]
VOTES = [[[0.1, 0.2, 0.6, 0.9]], [[0.2, 0.1, 0.7, 0.8]], [[0.55, 0.5, 1.2, 1.0]]]
BEYOND = [[[-0.3, 0.2, 3.0, 0.5], [0.9, 0.9, 0.1, 0.95], [0.5, 0.5, 0.5, 0.7]]]


@pytest.mark.parametrize(
    ("shape", "boxes", "consensus"),
    [((8, 8), ONE, 1), ((9, 4), TWO, 1), ((7, 7), VOTES, 2), ((1, 3), BEYOND, 1)],
)
def test_against_a_slow_loop(shape, boxes, consensus):
    cells = torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)))
    truth = consensus_map(boxes, consensus)
    (found,) = consensus_iou(predicted_region(cells[None]), truth[None])
    # A pixel may fall on the other side of the cut by rounding.
    expected = slow_ciou(cells.double().tolist(), boxes, consensus)
    assert found.item() == pytest.approx(expected, abs=2e-4)


def test_closed_forms():
    ramp = torch.arange(8.0).expand(1, 8, 8)  # the right half is larger
    region = predicted_region(ramp)
    assert region[0, :, SIDE // 2 :].all() and not region[0, :, : SIDE // 2].any()
    for box, expected in (
        ([0.5, 0, 1, 1], 1),
        ([0, 0, 0.5, 1], 0),
        ([0, 0, 1, 1], 0.5),
        ([0.75, 0, 1, 1], 0.5),
        ([0.5, 0, 1, 0.5], 0.5),
        ([0.25, 0, 0.75, 1], 1 / 3),
    ):
        truth = consensus_map([[box]])
        assert consensus_iou(region, truth[None]).item() == pytest.approx(expected)
    # Two of three agree on the right half, a third one alone on the left: 1 + 0.5 of the truth.
    votes = consensus_map([[[0.5, 0, 1, 1]], [[0.5, 0, 1, 1]], [[0, 0, 0.5, 1]]], consensus=2)
    assert votes[:, 112:].eq(1).all() and votes[:, :112].eq(0.5).all()
    assert consensus_iou(region, votes[None]).item() == pytest.approx(1 / 1.5)


def test_ties_and_nothing():
    assert predicted_region(torch.zeros(1, 4, 4)).all()
    nothing = consensus_map([])
    assert not nothing.any() and consensus_map([[]]).equal(nothing)
    assert consensus_iou(predicted_region(torch.rand(1, 4, 4)), nothing[None]).item() == 0


def test_boxes_without_pixels():
    boxes = torch.tensor(
        [[0.5, 0.5, 0.5, 0.9], [0.9, 0.1, 0.1, 0.9], [0.4, 0.4, -3e16, 0.6], [math.nan] * 4]
    )
    assert not box_region(boxes).any()
    assert box_region(torch.tensor([[0.0, 0.0, 2.0, 1.0]])).all()
    batch = box_region(torch.rand(2, 3, 5, 4), size=16)
    assert batch.shape == (2, 3, 16, 16)


def test_scores():
    scores = localisation_scores(torch.full((7,), 0.5))
    # 1 up to 0.5, then 0 from 0.55 on: a half, and half of the step between.
    assert scores == pytest.approx({"cIoU": 1, "mean_cIoU": 0.5, "AUC": 0.525})
    cious = torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shares = [np.mean([c >= 0.05 * i for c in cious.tolist()]) for i in range(21)]
    area = sum(0.05 * (a + b) / 2 for a, b in pairwise(shares))
    scores = localisation_scores(cious)
    assert scores["AUC"] == pytest.approx(area)
    assert scores["cIoU"] == pytest.approx(np.mean(cious.numpy() >= 0.5))
    assert localisation_scores(torch.zeros(3))["AUC"] == pytest.approx(0.025)  # all are >= 0
    assert localisation_scores(torch.ones(3))["AUC"] == pytest.approx(1)


def test_baselines():
    maps = torch.rand(3, 6, 8)
    centre = predicted_region(centre_maps(maps))
    assert centre[0, 112, 112] and not centre[0, 0, 0]
    assert centre.double().mean().item() == pytest.approx(0.5, abs=0.01)
    assert random_maps(maps, 3).equal(random_maps(maps, 3))
    assert not random_maps(maps, 3).equal(random_maps(maps, 4))


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"expected maps \(N, H, W\), got \(8, 8\)"):
        predicted_region(torch.rand(8, 8))
    bad = torch.rand(3, 4, 4)
    bad[2, 0, 0] = math.nan
    with pytest.raises(ValueError, match="map 2 has values that are not finite"):
        predicted_region(bad)
    with pytest.raises(ValueError, match=r"boxes \(..., K, 4\), got \(3,\)"):
        box_region(torch.rand(3))
    with pytest.raises(ValueError, match="consensus must be 1 or more, got 0"):
        consensus_map([], 0)
    with pytest.raises(ValueError, match="differ in shape"):
        consensus_iou(torch.ones(1, 4, 4, dtype=torch.bool), torch.ones(1, 5, 4))
    with pytest.raises(ValueError, match="one or more pictures"):
        localisation_scores(torch.ones(0))
