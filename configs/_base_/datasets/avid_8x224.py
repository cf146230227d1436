# AVID's clips: 2 s of sound, and 8 frames at 16 fps, 224x224, that start at most 0.5 s before the
# sound does or when it ends. `AVIDSpectrogram` is given its statistics by the files that build on
# this one. An epoch has ten clips of each video.
dataset_type = "AudioVisualDataset"

train_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=8 / 16, audio_duration=2.0, visual_offset=(-0.5, 2.0)),
    dict(type="DecodeAudioVisual", fps=16, clip_len=8, silence_db=-80),
    dict(type="RandomResizedCrop", area_range=(0.08, 1.0)),
    dict(type="Resize", scale=(224, 224), keep_ratio=False),
    dict(type="Flip"),
    dict(type="VolumeJitter", low=0.9, high=1.1),
    dict(type="AVIDSpectrogram"),
    dict(type="PackAudioVisual"),
]
test_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=8 / 16, audio_duration=2.0, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=16, clip_len=8, short_side=256),
    dict(type="CenterCrop", crop_size=224),
    dict(type="AVIDSpectrogram"),
    dict(type="PackAudioVisual"),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="ResumableSampler", shuffle=True, repeats=10),
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
