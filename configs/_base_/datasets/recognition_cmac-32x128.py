# CMAC's clips: 32 frames at 30 fps, 128x128.
_base_ = ["recognition.py"]

train_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=32 / 30),
    dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=144),
    dict(type="RandomCrop", size=128),
    dict(type="Flip"),
    dict(type="PackAudioVisual"),
]
test_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=32 / 30, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=144),
    dict(type="CenterCrop", crop_size=128),
    dict(type="PackAudioVisual"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
