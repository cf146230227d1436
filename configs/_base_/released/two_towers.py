# A released pair of encoders: features, and embeddings where it has projection heads, of 10 uniform
# clips a video. The files that build on this one say which networks and clips.
default_scope = "mmaction"

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
test_dataloader = dict(
    batch_size=4,  # videos
    num_workers=8,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="AudioVisualDataset", test_mode=True),
)
