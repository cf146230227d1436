# Retrieval on UCF101 as in the CMAC paper: test videos query the training videos, 10 uniform clips
# a video, average-pooled last stage, cosine. Nothing is trained. See README.md.
_base_ = ["../_base_/default_runtime.py"]

data_root = "data/ucf101"
split = 1  # the papers'
benchmark = "ucf101-retrieval"
protocol = "cmac"
class_file = f"{data_root}/annotations/classes.txt"
ann_file = f"{data_root}/annotations/ucf101_{{}}_split{split}.txt"
video_dir = f"{data_root}/videos"

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
videos = dict(
    type="AudioVisualDataset",
    data_prefix=dict(video=video_dir),
    pipeline=pipeline,
    test_mode=True,
)
test_dataloader = dict(
    batch_size=4,  # videos, of 10 clips each
    num_workers=8,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="RetrievalDataset",
        gallery=dict(ann_file=ann_file.format("train"), **videos),
        query=dict(ann_file=ann_file.format("test"), **videos),
    ),
)
test_evaluator = dict(type="ClassRetrieval", feature="visual_feature", distance="cosine")
test_cfg = dict(type="TestLoop")
