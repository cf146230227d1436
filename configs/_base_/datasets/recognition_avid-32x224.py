# AVID's longer clips: 32 frames at 16 fps, 224x224.
_base_ = ["recognition.py"]

train_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=32 / 16),
    dict(type="DecodeAudioVisual", fps=16, clip_len=32),
    dict(type="RandomResizedCrop", area_range=(0.08, 1.0)),
    dict(type="Resize", scale=(224, 224), keep_ratio=False),
    dict(type="Flip"),
    dict(type="PackAudioVisual"),
]
test_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=32 / 16, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=16, clip_len=32, short_side=256),
    dict(type="CenterCrop", crop_size=224),
    dict(type="PackAudioVisual"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
