# SeLaVi (Asano et al. 2020): both encoders. Its heads give scores of clusters, no embedding, and
# are left out.
_base_ = ["two_towers.py"]

test_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=30, clip_len=30, short_side=128),
    dict(type="CenterCrop", crop_size=112),
    dict(type="GDTSpectrogram"),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
