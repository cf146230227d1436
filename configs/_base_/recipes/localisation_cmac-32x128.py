# Localisation with attention maps: the whole picture at 128x128, whatever its aspect (the field: at
# 224x224). A still picture is a clip that stands. The second in the middle is heard.
_base_ = ["../default_runtime.py"]

batch_size = 8
num_workers = 8

clip = dict(type="SampleClips", duration=1.0, mode="uniform")
resize = dict(type="Resize", scale=(128, 128), keep_ratio=False)
log_mel = dict(type="LogMelSpectrogram", num_mels=257)
still_pipeline = [
    dict(type="LoadAudio"),
    clip,
    dict(type="CropAudio"),
    dict(type="StillClip", clip_len=32),
    resize,
    log_mel,
    dict(type="PackAudioVisual"),
]
video_pipeline = [
    dict(type="OpenAudioVisual"),
    clip,
    dict(type="DecodeAudioVisual", fps=30, clip_len=32),
    resize,
    log_mel,
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="LocalisationDataset", skip_missing=False),
)
test_evaluator = dict(type="LocalisationMetric")
test_cfg = dict(type="TestLoop")
