# Classifiers on a frozen audio encoder as in the CMAC paper: 10 uniform clips of 2 s a recording,
# scores of the clips averaged.
_base_ = ["../default_runtime.py"]

batch_size = 16  # recordings a GPU
num_workers = 8  # a GPU

model = dict(
    type="FeatureExtractor",
    modality="audio",
    pooling="avg",  # "none": the last stage unpooled
    average_clips=False,
    backbone=dict(type="AudioResNet", depth=9),
    data_preprocessor=dict(
        type="AudioVisualDataPreprocessor",
        audio_mean=-5.0,  # dB, as in pretraining
        audio_std=18.0,
    ),
)
pipeline = [
    dict(type="LoadAudio"),
    dict(type="SampleClips", duration=2.0, num_clips=10, mode="uniform"),
    dict(type="CropAudio"),
    dict(type="LogMelSpectrogram", num_mels=257),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="AudioClipDataset", pipeline=pipeline, test_mode=True),
)
evaluation = dict(
    type="sound_classification",
    jobs=1,  # trainings at a time; -1: one a core
    # The classifiers; None leaves one out.
    # Of several values cross-validation inside the training folds takes one.
    linear=dict(
        optimizer="Adam",
        lr=[1e-4, 1e-3, 1e-2],
        weight_decay=[0.0, 1e-3, 1e-2],
        epochs=50,
        batch_size=256,
    ),
    svm=dict(C=[1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]),
)
