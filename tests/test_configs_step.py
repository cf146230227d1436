"""Configs of the papers' tables take a training step: at full size, and with thin networks."""

import pytest
import torch
from helpers.paths import ROOT
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from cmac_mm.utils import load_config

CONFIGS = ROOT / "configs"
NAMES = sorted(
    str(path.relative_to(CONFIGS))
    for pattern in (
        "avid/*_audioset*.py",
        "deep_clustering/*-8x224-*.py",
        "deep_clustering/*-32x224-*.py",
        "linear_probe/avid*.py",
    )
    for path in CONFIGS.glob(pattern)
)
# With thin networks one of each kind, in the default run.
THIN = (
    "avid/avid-cma_ablation_8xb32-16x112-200e_audioset100k.py",
    "deep_clustering/sdc_r2plus1d-18_8xb32-8x224-60e_k400.py",
    "linear_probe/avid_audionet-ablation_1xb64-2s-12e_esc50.py",
    "linear_probe/avid_r2plus1d-10_8xb8-16x112-20e_k400.py",
)
NUM_VIDEOS = 64


def step(name, thin):
    """Build the model of a config, and let it learn from two clips of the config's size."""
    init_default_scope("mmaction")
    torch.manual_seed(0)
    cfg = load_config(CONFIGS / name)
    pipeline = {step.type: step for step in cfg.train_dataloader.dataset.pipeline}
    if thin:
        make_thin(cfg)
    model = MODELS.build(cfg.model)
    model.init_weights()
    inputs = {}
    if "DecodeAudioVisual" in pipeline and "imgs" in wanted(cfg):
        crops = [*find(pipeline, "size"), *find(pipeline, "scale")]
        size = 32 if thin else (crops[0] if isinstance(crops[0], int) else crops[0][0])
        frames = pipeline["DecodeAudioVisual"].clip_len
        inputs["imgs"] = torch.randint(256, (2, 1, 3, frames, size, size), dtype=torch.uint8)
    if "audio" in wanted(cfg):
        mel = pipeline.get("LogMelSpectrogram")
        bands = mel.num_mels if mel else pipeline["AVIDSpectrogram"].get("n_fft", 1024) // 4 + 1
        hop = (mel or pipeline["AVIDSpectrogram"]).get("hop_length", 240)
        inputs["audio"] = torch.randn(2, 1, 1, bands, round(2.0 * 24000 / hop))
    samples = [
        ActionDataSample(metainfo=dict(sample_idx=row)).set_gt_label(row) for row in range(2)
    ]
    if hasattr(model, "bind_list"):
        model.bind_list(NUM_VIDEOS, bytes(32), seed=0)
    if cfg.model.type == "DeepClustering":
        labels = {source: torch.arange(NUM_VIDEOS).numpy() % 16 for source in model.sources}
        centroids = {source: torch.zeros(16, 512).numpy() for source in model.sources}
        model.begin_round(0, labels, centroids, seed=0)
    elif cfg.model.get("num_positives"):
        positives = torch.arange(2, 2 + cfg.model.num_positives).repeat(NUM_VIDEOS, 1)
        model.positives.copy_(positives)
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    wrapper = build_optim_wrapper(model, dict(cfg.optim_wrapper, accumulative_counts=1))
    logs = model.train().train_step(dict(inputs=inputs, data_samples=samples), wrapper)
    assert logs["loss"].isfinite() and logs["loss"] > 0
    moved = [
        name for name, p in model.named_parameters() if not torch.equal(p, before.get(name, p))
    ]
    assert len(moved) > 0.9 * len(before)


def wanted(cfg):
    """The inputs that a model takes."""
    if "Audio" in cfg.model.type:
        return {"audio"}
    if "visual_backbone" not in cfg.model:
        return {"imgs"}
    towers = dict(imgs=cfg.model.visual_backbone, audio=cfg.model.audio_backbone)
    return {name for name, backbone in towers.items() if backbone is not None}


def find(pipeline, key):
    """Values of a key, also in transforms that run while decoding."""
    inner = pipeline["DecodeAudioVisual"].get("transforms") or ()
    return [step[key] for step in (*pipeline.values(), *inner) if key in step]


def make_thin(cfg):
    """Networks of four channels in place of 64."""
    for name in ("visual_backbone", "audio_backbone", "backbone"):
        if cfg.model.get(name) is not None:
            cfg.model[name].base_channels = 4
    if cfg.model.get("head"):
        cfg.model.head.update(visual_channels=32, audio_channels=32)
    if cfg.model.get("cls_head"):
        cfg.model.cls_head.update(in_channels=(4, 8, 16, 32))


@pytest.mark.parametrize("name", THIN)
def test_a_step_with_thin_networks(name):
    step(name, thin=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_step_at_full_size(name):
    step(name, thin=False)
