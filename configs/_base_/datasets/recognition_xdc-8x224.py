# XDC's clips: 8 frames at 30 fps, 224x224.
_base_ = ["recognition.py"]

train_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=8 / 30),
    dict(type="DecodeAudioVisual", fps=30, clip_len=8, short_side=256),
    dict(type="RandomCrop", size=224),
    dict(type="Flip"),
    dict(type="PackAudioVisual"),
]
test_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=8 / 30, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=30, clip_len=8, short_side=256),
    dict(type="CenterCrop", crop_size=224),
    dict(type="PackAudioVisual"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
