"""MMAction2's backbones as encoders: those in docs/extend/backbone.md train, others say why not."""

import copy

import pytest
import torch
from helpers.batches import make_batch
from helpers.clusters import K, start
from mmaction.registry import MODELS
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope

import cmac_mm  # noqa: F401
from cmac_mm.models.feature_map import run_encoder

SMALL_RESNET = dict(pretrained=None, base_channels=8, depth=18)
SMALL_VIT = dict(img_size=32, embed_dims=16, depth=1, num_heads=2, num_frames=8)
MVIT = dict(
    type="MViT",
    arch=dict(embed_dims=8, num_layers=3, num_heads=1, downscale_indices=[1, 2]),
    spatial_size=32,
    temporal_size=8,
)
# Thin ones: the options beside the sizes are those that the README names.
VISUAL = {
    "R2Plus1D": (dict(type="R2Plus1D", base_channels=4, stage_blocks=(1, 1, 1, 1)), 32),
    "ResNet3dSlowOnly": (dict(type="ResNet3dSlowOnly", lateral=False, **SMALL_RESNET), 64),
    "ResNet3dSlowOnly-stages": (
        dict(type="ResNet3dSlowOnly", lateral=False, out_indices=(1, 2, 3), **SMALL_RESNET),
        64,
    ),
    "X3D": (dict(type="X3D", gamma_b=2.25), 432),
    "ResNet2Plus1d": (
        dict(
            type="ResNet2Plus1d",
            pretrained2d=False,
            conv_cfg=dict(type="Conv2plus1d"),
            **SMALL_RESNET,
        ),
        64,
    ),
    "ResNet3d": (dict(type="ResNet3d", **SMALL_RESNET), 64),
    "ResNet3dCSN": (
        dict(type="ResNet3dCSN", bottleneck_mode="ir", **{**SMALL_RESNET, "depth": 50}),
        256,
    ),
    "UniFormer": (
        dict(type="UniFormer", depth=[1, 1, 1, 1], embed_dim=[8, 16, 24, 32], head_dim=8),
        32,
    ),
    "SwinTransformer3D": (
        dict(
            type="SwinTransformer3D",
            arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
            pretrained2d=False,
        ),
        64,
    ),
    "VisionTransformer": (dict(type="VisionTransformer", return_feat_map=True, **SMALL_VIT), 16),
    "MViT": (MVIT, 32),
    "MViT-no-token": (dict(MVIT, output_cls_token=False), 32),
}
AUDIO = {
    "AudioResNet": (dict(type="AudioResNet", base_channels=4), 32),
    "ResNetAudio": (dict(type="ResNetAudio", depth=50, base_channels=8), 256),
}
PAIRS = [(name, "AudioResNet") for name in VISUAL] + [("R2Plus1D", "ResNetAudio")]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmaction")


def build(method, visual, audio, visual_channels, audio_channels):
    """A thin model of a method with these encoders."""
    torch.manual_seed(0)
    channels = dict(visual_channels=visual_channels, audio_channels=audio_channels)
    options = dict(
        type=method,
        visual_backbone=visual,
        audio_backbone=audio,
        data_preprocessor=dict(type="AudioVisualDataPreprocessor"),
    )
    if method == "CMAC":
        options.update(
            neck=dict(type="CMACNeck", channels=8, **channels),
            head=dict(
                type="CMACHead",
                filter_channels=8,
                hidden_channels=8,
                embed_channels=8,
                saliency_channels=4,
                loss_contrastive=dict(type="MoCoQueueLoss"),
                loss_attention=dict(type="AttentionConsistencyLoss"),
                **channels,
            ),
            queue_size=6,
            momentum=0.5,
        )
    elif method == "AVID":
        head = dict(type="AVIDHead", hidden_channels=8, embed_channels=8, num_agreement_negatives=2)
        options.update(head=dict(**head, **channels), num_videos=12, num_negatives=4)
        options.update(num_positives=2)
    else:
        supervision = dict(visual=["audio"], audio=["visual"])
        head = dict(type="ClusterHead", supervision=supervision, num_clusters=K)
        options.update(head=dict(**head, **channels))
    model = MODELS.build(options)
    model.init_weights()
    if method == "DeepClustering":
        start(model)
    return model


def clips(rows=(0, 2, 3, 5)):
    inputs, samples = make_batch(list(rows))
    inputs["imgs"] = torch.randint(0, 256, (len(rows), 3, 8, 32, 32), dtype=torch.uint8)
    return dict(inputs=inputs, data_samples=samples)


def moved(module, before):
    return sum(
        not torch.equal(new, old)
        for new, old in zip(module.parameters(), before.parameters(), strict=True)
    )


@pytest.mark.parametrize("method", ["CMAC", "AVID", "DeepClustering"])
@pytest.mark.parametrize(("visual", "audio"), PAIRS)
def test_trains(method, visual, audio):
    (visual_cfg, visual_channels), (audio_cfg, audio_channels) = VISUAL[visual], AUDIO[audio]
    model = build(method, visual_cfg, audio_cfg, visual_channels, audio_channels)
    before = copy.deepcopy(model)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    for step in range(2):  # the key encoders follow in the second
        torch.manual_seed(step)
        losses = model.train_step(clips(), optimizer)
    assert all(value.isfinite() for value in losses.values())
    for name in model.modalities:
        # Some of MMAction2's layers end in nothing that is used, such as MViT's class token.
        backbone = getattr(model, f"{name}_backbone")
        count = len(list(backbone.parameters()))
        assert moved(backbone, getattr(before, f"{name}_backbone")) > 0.8 * count
        if method == "CMAC":
            # One step behind, and residual branches that start from zero move one step later.
            keys = model.key_encoders[name].backbone
            assert moved(keys, before.key_encoders[name].backbone) > 0.2 * count
            assert model.queues[name].sample_idx.tolist() == [3, 5, 3, 5, 0, 2]
    with torch.no_grad():
        sample = model.eval().test_step(clips(rows=(1,)))[0]
        features = {
            name: MODELS.build(dict(type="FeatureExtractor", backbone=cfg, modality=name)).eval()
            for name, cfg in (("visual", visual_cfg), ("audio", audio_cfg))
        }
        for name, extractor in features.items():
            assert sample.get(f"{name}_feature").isfinite().all()
            extractor.backbone.load_state_dict(getattr(model, f"{name}_backbone").state_dict())
            data = model.data_preprocessor(clips(rows=(1,)))
            assert extractor(data["inputs"]).shape == (1, model.head.channels[name])


SLOW_FAST = dict(
    type="ResNet3dSlowFast",
    pretrained=None,
    resample_rate=4,
    speed_ratio=4,
    channel_ratio=8,
    slow_pathway=dict(type="resnet3d", depth=18, base_channels=8, pretrained=None, lateral=True),
    fast_pathway=dict(type="resnet3d", depth=18, base_channels=1, pretrained=None, lateral=False),
)
MISFITS = {
    "TimeSformer": (
        dict(
            type="TimeSformer",
            num_frames=8,
            img_size=32,
            patch_size=16,
            pretrained=None,
            embed_dims=16,
            num_heads=2,
            num_transformer_layers=1,
        ),
        r"TimeSformer returned a Tensor of shape \(4, 16\), expected .*\(B, C, T, H, W\)"
        r".*use .*VisionTransformer with return_feat_map=True",
    ),
    "ViT": (
        dict(type="VisionTransformer", **SMALL_VIT),
        r"VisionTransformer returned a Tensor of shape \(4, 16\), expected .*"
        r"set return_feat_map=True",
    ),
    "ResNet": (
        dict(type="ResNet", depth=18, pretrained=None),
        r"ResNet cannot take .* \(4, 3, 8, 32, 32\).*a 3-D network.*ResNet3dSlowOnly",
    ),
    "SlowFast": (
        SLOW_FAST,
        r"ResNet3dSlowFast returned a tuple .*\(4, 64, 2, 1, 1\), \(4, 8, 8, 1, 1\).*two pathways"
        r".*ResNet3dSlowOnly",
    ),
}


@pytest.mark.parametrize("method", ["CMAC", "AVID", "DeepClustering"])
@pytest.mark.parametrize("name", MISFITS)
def test_refuses_with_a_sentence(method, name):
    cfg, message = MISFITS[name]
    model = build(method, cfg, AUDIO["AudioResNet"][0], 16, 32)
    with pytest.raises(ValueError, match=message) as error:
        model(**model.data_preprocessor(clips()), mode="loss")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", MISFITS)
def test_feature_extractor_refuses_alike(name):
    cfg, message = MISFITS[name]
    model = MODELS.build(dict(type="FeatureExtractor", backbone=cfg))
    with pytest.raises(ValueError, match=message):
        model(dict(imgs=torch.randn(4, 3, 8, 32, 32)))


@pytest.mark.parametrize("method", ["CMAC", "AVID", "DeepClustering"])
def test_names_the_option_for_channels(method):
    model = build(method, VISUAL["ResNet3d"][0], AUDIO["AudioResNet"][0], 512, 32)
    with pytest.raises(ValueError, match=r"ResNet3d .* 64 channels, .*visual_channels=64.* 512"):
        model(**model.data_preprocessor(clips()), mode="loss")


def test_sound_encoder_that_is_none():
    model = build("CMAC", VISUAL["R2Plus1D"][0], VISUAL["ResNet3d"][0], 32, 64)
    with pytest.raises(ValueError, match=r"ResNet3d cannot take spectrograms of shape \(4, 1, 33"):
        model(**model.data_preprocessor(clips()), mode="loss")


class Returns(torch.nn.Module):
    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, x):
        if isinstance(self.output, Exception):
            raise self.output
        return self.output


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "returned a NoneType"),
        ((), r"returned a tuple of \(\)"),
        ({"x": torch.zeros(2, 4, 1, 1, 1)}, "returned a dict"),
        (torch.zeros(16, 4, 1, 1), r"returned a Tensor of shape \(16, 4, 1, 1\)"),
        (
            torch.zeros(16, 4, 1, 1, 1),
            r"returned a Tensor of shape \(16, 4, 1, 1, 1\), expected .* B being 2",
        ),
    ],
)
def test_refuses_whatever_is_no_map(output, message):
    with pytest.raises(ValueError, match=f"Returns {message}"):
        run_encoder(Returns(output), torch.zeros(2, 3, 8, 4, 4))


def test_other_errors_of_a_backbone_come_through():
    for error in (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("a bug")):
        with pytest.raises(type(error)) as caught:
            run_encoder(Returns(error), torch.zeros(2, 3, 8, 4, 4))
        assert caught.value is error
