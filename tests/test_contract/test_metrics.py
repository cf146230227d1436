"""Metrics on nothing, on one sample, on samples that do not fit together."""

import math

import pytest
import torch
from helpers.registered import registered
from mmaction.registry import METRICS as REGISTRY

METRICS = registered("METRICS")


def features(row, size=8):
    generator = torch.Generator().manual_seed(row)
    names = ("visual_feature", "audio_feature", "visual_embedding", "audio_embedding")
    return {name: torch.randn(size, generator=generator) for name in names}


# What a model says of a sample; size: of what must be equally long in all samples.
SAMPLES = {
    "ClassRetrieval": lambda row, size: dict(features(row, size), in_gallery=row % 2),
    "CrossModalRetrieval": features,
    "LocalisationMetric": lambda row, size: dict(
        {
            f"{kind}_visual_attention": features(row, 32)["visual_feature"].view(1, 2, 4, 4)
            for kind in ("guided", "predicted")[: 1 + size // 8]
        },
        boxes=[[[0.0, 0.0, 0.5, 0.5]]],
        consensus=1,
    ),
    "MultiStageAccuracy": lambda row, size: dict(
        block_scores=torch.rand(size, 2, 5, generator=torch.Generator().manual_seed(row))
    ),
    "VideoAccuracy": lambda row, size: dict(
        pred_score=torch.rand(size, generator=torch.Generator().manual_seed(row))
    ),
}


def evaluate(name, sizes):
    """The metric over samples of some sizes."""
    metric = REGISTRY.build(dict(type=name))
    for row, size in enumerate(sizes):
        sample = SAMPLES[name](row, size)
        sample.update(sample_idx=row, gt_label=torch.tensor([row // 2 % 3]), filename=f"{row}.mp4")
        metric.process({}, [sample])
    return metric.compute_metrics(metric.results)


@pytest.mark.parametrize("name", METRICS)
def test_metric(name):
    assert name in SAMPLES, f"add to SAMPLES of {__file__} what {name} reads of a sample"
    scores = evaluate(name, [8] * 12)
    assert scores == evaluate(name, [8] * 12)
    for key, value in scores.items():
        assert isinstance(value, int | float) and math.isfinite(value), key
    assert any(0 <= value <= 1 for value in scores.values())


@pytest.mark.parametrize("name", METRICS)
def test_no_sample(name):
    with pytest.raises(ValueError, match="no samples"):
        evaluate(name, [])


@pytest.mark.parametrize("name", METRICS)
def test_one_sample(name):
    try:
        scores = evaluate(name, [8])
    except ValueError as error:
        assert "expected both" in str(error), error  # a gallery and queries
    else:
        assert all(math.isfinite(value) for value in scores.values())


@pytest.mark.parametrize("name", METRICS)
def test_samples_of_different_lengths(name):
    with pytest.raises(ValueError, match="differ"):
        evaluate(name, [8, 8, 8, 7])


@pytest.mark.parametrize("name", METRICS)
def test_what_is_lacking_is_named(name):
    metric = REGISTRY.build(dict(type=name))
    with pytest.raises((ValueError, KeyError), match=r"sample_idx|pred_score"):
        metric.process({}, [dict(gt_label=torch.tensor([0]), filename="a.mp4")])
