# A released pair of encoders: features, and embeddings where it has projection heads, of 10 uniform
# clips a video. The files that build on this one say which networks and clips.
_base_ = ["loader.py"]

model = dict(
    type="TwoTowerModel",
    pooling="avg",
    visual_backbone=dict(type="R2Plus1D", depth=18, variant="torchvision"),
    audio_backbone=dict(type="AudioResNet", depth=9),
    data_preprocessor=dict(
        type="AudioVisualDataPreprocessor",
        mean=[114.75, 114.75, 114.75],
        std=[57.375, 57.375, 57.375],
    ),
)
