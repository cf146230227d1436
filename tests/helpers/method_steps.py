"""Thin models of all methods, ready for a training step, and batches for them."""

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample

from helpers import cmac_models
from helpers.clusters import start

_JITTER = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2)
_PREPROCESSOR = dict(type="AudioVisualDataPreprocessor", color_jitter=_JITTER)
_VISUAL = dict(
    type="R2Plus1D",
    variant="avid",
    base_channels=4,
    stage_blocks=(1, 1, 1, 1),
    strides=(1, 2, 2, 1),
)


def _avid(mined):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="AVID",
            visual_backbone=_VISUAL,
            audio_backbone=dict(type="AVIDAudioNet", base_channels=4),
            head=dict(
                type="AVIDHead",
                visual_channels=32,
                audio_channels=32,
                hidden_channels=16,
                embed_channels=8,
                num_agreement_negatives=5,
            ),
            num_videos=20,
            num_negatives=6000,  # more than a copy that is not pinned may hold
            num_positives=3,
            data_preprocessor=_PREPROCESSOR,
        )
    )
    model.init_weights()
    if mined:
        model.positives.copy_((torch.arange(20)[:, None] + torch.arange(1, 4)) % 20)
    return model


def _deep_clustering(supervision):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="DeepClustering",
            head=dict(
                type="ClusterHead",
                supervision=supervision,
                num_clusters=5,
                visual_channels=32,
                audio_channels=32,
            ),
            visual_backbone=_VISUAL,
            audio_backbone=dict(type="AudioResNet", base_channels=4),
            data_preprocessor=_PREPROCESSOR,
        )
    )
    model.init_weights()
    start(model)
    return model


def _cmac(**kwargs):
    return cmac_models.build(data_preprocessor=_PREPROCESSOR, **kwargs)


# A model, and clips a video.
METHODS = {
    "cmac": (_cmac, None),
    "cmac in the batch": (
        lambda: _cmac(
            queue_size=0,
            contrast=dict(in_batch_negatives=True),
            attention=dict(detach_target=False),
        ),
        None,
    ),
    "cmac two clips": (lambda: _cmac(contrast=dict(within_modal_positives=True)), 2),
    "avid": (lambda: _avid(False), None),
    "avid-cma": (lambda: _avid(True), None),
    "xdc": (lambda: _deep_clustering(dict(visual=["audio"], audio=["visual"])), None),
    "cdc": (lambda: _deep_clustering(dict(visual=["joint"], audio=["joint"])), None),
}


def make_data(clips=None, size=2, seed=0):
    """A batch as a loader gives it."""
    generator = torch.Generator().manual_seed(seed)
    lead = (size,) if clips is None else (size, clips)
    shape = (*lead, 3, 8, 32, 32)
    imgs = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    audio = torch.randn(*lead, 1, 40, 30, generator=generator)
    samples = []
    for row in range(size):
        samples.append(ActionDataSample(metainfo=dict(sample_idx=row, sample_seed=seed + row)))
        samples[-1].set_gt_label(row)
    return dict(inputs=dict(imgs=imgs, audio=audio), data_samples=samples)
