# torchvision's R(2+1)D-18, trained with the labels of Kinetics-400.
_base_ = ["pictures.py"]

test_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=16 / 15, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=15, clip_len=16, short_side=128),
    dict(type="CenterCrop", crop_size=112),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
