# XDC's clips: 8 frames at 30 fps, 224x224, and from the same time on 2 s of sound, 40 mel filters x
# 100 frames. `cluster_pipeline` is what videos are clustered by: one clip, in the middle.
dataset_type = "AudioVisualDataset"

sample = dict(type="SampleClips", duration=8 / 30, audio_duration=2.0)
decode = dict(type="DecodeAudioVisual", fps=30, clip_len=8, short_side=256)
log_mel = dict(type="LogMelSpectrogram", num_mels=40, hop_length=480)
train_pipeline = [
    dict(type="OpenAudioVisual"),
    sample,
    dict(
        **decode,
        silence_db=-80,
        transforms=[dict(type="RandomCrop", size=224), dict(type="Flip")],
    ),
    log_mel,
    dict(type="PackAudioVisual"),
]
cluster_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(**sample, mode="uniform"),
    dict(**decode, silence_db=-80),
    dict(type="CenterCrop", crop_size=224),
    log_mel,
    dict(type="PackAudioVisual"),
]
test_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(**sample, mode="uniform", num_clips=10),
    decode,
    dict(type="CenterCrop", crop_size=224),
    log_mel,
    dict(type="PackAudioVisual"),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="ClusterBalancedSampler"),
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
