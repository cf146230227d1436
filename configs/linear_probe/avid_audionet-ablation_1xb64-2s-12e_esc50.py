# Linear probes on the four blocks of the audio net of AVID's ablations, ESC-50 (table 1b): 2 s of
# sound as 129 bands x 100 frames. Pooled to as many values as the video's stages. The optimiser is
# that of the probes on Kinetics (the paper does not say); 25 clips a recording in the test.
_base_ = ["../audio/xdc_resnet18_1xb32-2s-12e_esc50.py"]

batch_size = 64  # clips a GPU; the learning rate is for 64 in all, see auto_scale_lr
statistics = "data/audioset/annotations/avid_spectrogram_129.json"  # those of the pretraining
work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{_base_.split}"

model = dict(
    type="FrozenRecognizerAudio",
    data_preprocessor=dict(audio_mean=0.0, audio_std=1.0),
    backbone=dict(
        _delete_=True,
        type="AVIDAudioNet",
        strides=(1, 2, 2, 1),
        out_indices=(0, 1, 2, 3),
        init_cfg=_base_.model.backbone.init_cfg,
    ),
    cls_head=dict(
        _delete_=True,
        type="MultiStageLinearHead",
        num_classes=50,
        pool_sizes=((12, 12), (8, 8), (6, 6), (4, 4)),
    ),
)
spectrogram = dict(type="AVIDSpectrogram", statistics=statistics, n_fft=512, hop_length=480)
load, sample, crop, _, pack = _base_.train_pipeline
train_pipeline = [load, sample, crop, spectrogram, pack]
test_pipeline = [
    load,
    dict(type="SampleClips", duration=2.0, num_clips=25, mode="uniform"),
    crop,
    spectrogram,
    pack,
]
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_evaluator = dict(_delete_=True, type="MultiStageAccuracy")
optim_wrapper = dict(_delete_=True, type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4))
param_scheduler = [dict(type="MultiStepLR", milestones=[6, 9], gamma=0.1, by_epoch=True)]
auto_scale_lr = dict(base_batch_size=64)
default_hooks = dict(result=dict(benchmark="esc50-probes", protocol="avid-2s, 9 layers"))
