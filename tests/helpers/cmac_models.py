"""Thin CMAC models and batches for them."""

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample

import cmac_mm  # noqa: F401


def build(
    contrast=None,
    attention=None,
    modalities=("visual", "audio"),
    neck=None,
    head=None,
    **kwargs,
):
    """A thin CMAC. ``contrast`` / ``attention``: loss options, or False to switch one off."""
    width = {name: 32 if name in modalities else None for name in ("visual", "audio")}
    channels = {f"{name}_channels": value for name, value in width.items()}
    losses = {}
    if contrast is not False:
        losses["loss_contrastive"] = dict(type="MoCoQueueLoss", **(contrast or {}))
    if attention is not False and len(modalities) == 2:
        losses["loss_attention"] = dict(type="AttentionConsistencyLoss", **(attention or {}))
    backbones = dict(
        visual_backbone=dict(type="R2Plus1D", base_channels=4, stage_blocks=(1, 1, 1, 1)),
        audio_backbone=dict(type="AudioResNet", base_channels=4),
    )
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="CMAC",
            neck=dict(type="CMACNeck", channels=24, **{**channels, **(neck or {})}),
            head=dict(
                type="CMACHead",
                filter_channels=24,
                hidden_channels=16,
                embed_channels=8,
                saliency_channels=6,
                **channels,
                **losses,
                **(head or {}),
            ),
            **{key: backbones[key] for key in (f"{name}_backbone" for name in modalities)},
            **{"queue_size": 10, "grad_norm_interval": 1, **kwargs},
        )
    )
    model.init_weights()
    return model


def make_batch(size=4, clips=None, rows=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    lead = (size,) if clips is None else (size, clips)
    inputs = dict(
        imgs=torch.randn(*lead, 3, 8, 32, 32, generator=generator),
        audio=torch.randn(*lead, 1, 40, 30, generator=generator),
    )
    rows = range(size) if rows is None else rows
    return inputs, [ActionDataSample(metainfo=dict(sample_idx=row)) for row in rows]
