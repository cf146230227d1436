# GDT (Patrick et al. 2021): both encoders and their projection heads. Dropout, which only training
# has, is left out of these.
_base_ = ["two_towers.py"]

model = dict(
    projection=dict(
        in_channels=512,
        hidden_channels=512,
        out_channels=256,
        hidden_norm=True,
        hidden_bias=False,
    ),
)
test_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=32 / 30, audio_duration=1.0, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=144),
    dict(type="CenterCrop", crop_size=128),
    dict(type="GDTSpectrogram"),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
