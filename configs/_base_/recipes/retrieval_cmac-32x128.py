# Retrieval as in the CMAC paper: test videos query the training videos, 10 uniform clips a video,
# average-pooled last stage, cosine. Nothing is trained.
_base_ = ["../default_runtime.py"]

batch_size = 4  # videos a GPU
num_workers = 8  # a GPU

model = dict(
    type="FeatureExtractor",
    modality="visual",
    pooling="avg",
    backbone=dict(type="R2Plus1D", depth=18, variant="torchvision"),
    data_preprocessor=dict(
        type="AudioVisualDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
)
pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=32 / 30, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=144),
    dict(type="CenterCrop", crop_size=128),
    dict(type="PackAudioVisual"),
]
videos = dict(type="AudioVisualDataset", pipeline=pipeline, test_mode=True)
test_dataloader = dict(
    batch_size=batch_size,  # of 10 clips each
    num_workers=num_workers,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="RetrievalDataset", gallery=videos, query=videos),
)
test_evaluator = dict(type="ClassRetrieval", feature="visual_feature", distance="cosine")
test_cfg = dict(type="TestLoop")
evaluation = dict(type="retrieval", protocol="cmac", sheet_queries=8)  # 0: no sheet of neighbours
