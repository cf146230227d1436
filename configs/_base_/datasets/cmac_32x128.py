# Clips of 32 frames at 30 fps, 128x128, and the second of sound that starts with them.
dataset_type = "AudioVisualDataset"

train_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0),
    dict(
        type="DecodeAudioVisual",
        fps=30,
        clip_len=32,
        short_side=144,
        silence_db=-80,
        transforms=[dict(type="RandomCrop", size=128), dict(type="Flip")],
    ),
    dict(type="LogMelSpectrogram", num_mels=257),
    dict(type="SpecAugment", time_warp=5, freq_mask=27, time_mask=10),
    dict(type="PackAudioVisual"),
]
test_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=144),
    dict(type="CenterCrop", crop_size=128),
    dict(type="LogMelSpectrogram", num_mels=257),
    dict(type="PackAudioVisual"),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="ResumableSampler", shuffle=True),
    collate_fn=dict(type="default_collate"),
    # A file whose decoder hangs for a minute, or crashes, is replaced like any bad one.
    dataset=dict(type=dataset_type, pipeline=train_pipeline, time_limit=60),
)
test_dataloader = dict(
    batch_size=4,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type=dataset_type, pipeline=test_pipeline, test_mode=True),
)
test_evaluator = dict(type="CrossModalRetrieval")
test_cfg = dict(type="TestLoop")
