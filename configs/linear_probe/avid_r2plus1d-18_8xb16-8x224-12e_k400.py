# Linear probes on the four stages of a frozen encoder, as AVID's tables 1 and 2 have them:
# Kinetics-400, 8 frames at 16 fps, 224x224. See README.md.
_base_ = ["../_base_/default_runtime.py"]

data_root = "data/kinetics400"
ann_file = f"{data_root}/annotations/kinetics400_{{}}.txt"
num_classes = 400
batch_size = 16  # a GPU, 128 in all
num_workers = 8  # a GPU
benchmark = "k400-linear"
protocol = "avid-8x224"

model = dict(
    type="FrozenRecognizer3D",
    backbone=dict(
        type="R2Plus1D",
        variant="avid",
        out_indices=(0, 1, 2, 3),
        # The pretrained encoder; None: random weights.
        init_cfg=dict(type="PretrainedEncoder", checkpoint=None, prefix="visual_backbone."),
    ),
    cls_head=dict(type="MultiStageLinearHead", num_classes=num_classes),
    data_preprocessor=dict(
        type="ActionDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape="NCTHW",
    ),
)

pack = dict(type="PackActionInputs", meta_keys=("sample_idx", "filename"))
train_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=0.5),
    dict(type="DecodeAudioVisual", fps=16, clip_len=8, short_side=256),
    dict(type="RandomResizedCrop"),
    dict(type="Resize", scale=(224, 224), keep_ratio=False),
    dict(type="Flip"),
    dict(type="FormatShape", input_format="NCTHW"),
    pack,
]
test_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=0.5, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=16, clip_len=8, short_side=256),
    dict(type="CenterCrop", crop_size=224),
    dict(type="FormatShape", input_format="NCTHW"),
    pack,
]
loader = dict(num_workers=num_workers, persistent_workers=True, pin_memory=True)
train_dataloader = dict(
    batch_size=batch_size,
    drop_last=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="AudioVisualDataset",
        ann_file=ann_file.format("train"),
        data_prefix=dict(video=f"{data_root}/train"),
        pipeline=train_pipeline,
    ),
    **loader,
)
test_dataloader = dict(
    batch_size=4,  # videos, of 10 clips each
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="AudioVisualDataset",
        ann_file=ann_file.format("val"),
        data_prefix=dict(video=f"{data_root}/val"),
        pipeline=test_pipeline,
        test_mode=True,
    ),
    **loader,
)
test_evaluator = dict(type="MultiStageAccuracy")

# The last epoch counts: nothing is chosen on the validation set.
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=12)
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4))
param_scheduler = [dict(type="MultiStepLR", milestones=[6, 9], gamma=0.1, by_epoch=True)]
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=1))
custom_hooks = [dict(type="BadSampleHook")]
