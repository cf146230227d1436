# Fine-tuning of the whole audio encoder on ESC-50, XDC's setting: ResNet-18 on 2 s of sound as 40
# mel filters x 100 frames; test with 10 uniform clips. The schedule is that of our XDC configs for
# videos. See README.md.
_base_ = [
    "../_base_/lists/esc50.py",
    "../_base_/datasets/recognition.py",
    "../_base_/schedules/finetune_xdc_12e.py",
    "../_base_/default_runtime.py",
]

split = 1  # the test fold, 1 to 5
pretrained = None  # a checkpoint whose encoder to start from; None: from scratch
batch_size = 32  # clips a GPU; the learning rate is for 32 in all, see auto_scale_lr
work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{split}"

model = dict(
    type="RecognizerAudio",
    data_preprocessor=dict(
        type="RecognizerDataPreprocessor",
        audio_mean=-5.0,  # dB; as in pretraining
        audio_std=18.0,
    ),
    backbone=dict(
        type="AudioResNet",
        depth=18,
        init_cfg=dict(type="PretrainedEncoder", checkpoint=pretrained, prefix="audio_backbone."),
    ),
    cls_head=dict(
        type="TSNAudioHead",
        num_classes=50,
        in_channels=512,
        dropout_ratio=0,
        average_clips="prob",  # the mean of the clips' softmax
    ),
)

log_mel = dict(type="LogMelSpectrogram", num_mels=40, hop_length=480)
train_pipeline = [
    dict(type="LoadAudio"),
    dict(type="SampleClips", duration=2.0),
    dict(type="CropAudio"),
    log_mel,
    dict(type="PackAudioVisual"),
]
test_pipeline = [
    dict(type="LoadAudio"),
    dict(type="SampleClips", duration=2.0, num_clips=10, mode="uniform"),
    dict(type="CropAudio"),
    log_mel,
    dict(type="PackAudioVisual"),
]
if not pretrained:  # from scratch all learns at one rate
    optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))
folds = _base_.recordings.ann_file
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(repeats=10),  # clips of each recording an epoch
    dataset=dict(
        type="AudioClipDataset",
        ann_file=[*folds[: split - 1], *folds[split:]],
        data_prefix=_base_.recordings.data_prefix,
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    dataset=dict(
        type="AudioClipDataset",
        ann_file=folds[split - 1],
        data_prefix=_base_.recordings.data_prefix,
        pipeline=test_pipeline,
    ),
)
default_hooks = dict(
    result=dict(type="ResultHook", benchmark="esc50-finetune", protocol="xdc", fold=split),
)
evaluation = dict(splits=[1, 2, 3, 4, 5])
