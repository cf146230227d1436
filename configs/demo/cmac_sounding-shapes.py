# CMAC on the built-in set of sounding shapes: thin networks, minutes on two CPU cores.
# The recipe is the demo's own. The paper's (MoCo queues, SGD) needs hundreds of thousands of steps
# to leave chance; a short run learns from in-batch negatives, with AdamW. Two more switches make
# its attention find the object, see README.md: the filters are contrasted themselves, without
# projections, and the guided map takes gradient. Both modalities' maps weigh the same.
_base_ = ["../_base_/models/cmac_r2plus1d-18_resnet9.py", "../_base_/default_runtime.py"]

data_root = "data/sounding_shapes"
batch_size = 32
epochs = 6
visual_width = 8  # channels of the first stage, 64 in the paper
audio_width = 16
filter_channels = 64

model = dict(
    visual_backbone=dict(
        variant="avid",  # the cheapest of the three
        base_channels=visual_width,
        stage_blocks=(1, 1, 1, 1),
        strides=(1, 2, 1, 1),  # maps of 4x8x8
    ),
    audio_backbone=dict(base_channels=audio_width, strides=(1, 2, 1, 1)),  # maps of 8x13
    neck=dict(
        visual_channels=visual_width * 8,
        audio_channels=audio_width * 8,
        channels=filter_channels,
    ),
    head=dict(
        filter_channels=filter_channels,
        visual_channels=visual_width * 8,
        audio_channels=audio_width * 8,
        saliency_channels=16,
        projection="none",
        loss_contrastive=dict(
            temperature=0.1, within_modal_negatives=False, in_batch_negatives=True
        ),
        loss_attention=dict(detach_target=False, reduction="balanced", loss_weight=0.5),
    ),
    queue_size=0,  # keys are the other modality's queries
)

clip = dict(type="DecodeAudioVisual", fps=8, clip_len=8, short_side=64)
log_mel = dict(type="LogMelSpectrogram", num_mels=64)
train_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0),
    dict(**clip, silence_db=-80),
    dict(type="PerClip", transforms=[dict(type="RandomCrop", size=64), dict(type="Flip")]),
    log_mel,
    dict(type="PackAudioVisual"),
]
test_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0, mode="uniform"),
    clip,
    dict(type="CenterCrop", crop_size=64),
    log_mel,
    dict(type="PackAudioVisual"),
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="ResumableSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="AudioVisualDataset",
        ann_file=f"{data_root}/train.txt",
        data_prefix=dict(video=data_root),
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(
        type="AudioVisualDataset",
        ann_file=f"{data_root}/test.txt",
        data_prefix=dict(video=data_root),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_evaluator = dict(type="CrossModalRetrieval")
test_cfg = dict(type="TestLoop")
evaluation = dict(type="demo", max_train=1024)  # training videos in the gallery

optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=2e-3, weight_decay=0.01))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=20),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=epochs, convert_to_iter_based=True),
]
train_cfg = dict(type="ResumableTrainLoop", max_epochs=epochs)
auto_scale_lr = dict(enable=False, base_batch_size=32)
default_hooks = dict(logger=dict(interval=10))
# Every second epoch: how many of 128 test videos find their kind among 256 training videos.
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="RetrievalMonitorHook", interval=2, num_gallery=256, num_query=128, batch_size=64),
]
