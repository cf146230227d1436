# XDC's video encoder, and its two supervised ones (Alwassel et al. 2020). The audio encoder was
# never released.
_base_ = ["pictures.py"]

model = dict(backbone=dict(variant="caffe2"))
test_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=32 / 30, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=256),
    dict(type="CenterCrop", crop_size=224),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
