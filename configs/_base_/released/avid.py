# AVID and AVID+CMA (Morgado et al. 2021): both encoders, max-pooled, and their projection heads.
# The statistics of each frequency are the authors', in a file beside the weights.
_base_ = ["two_towers.py"]

statistics = "avid_spectrogram.json"

model = dict(
    pooling="max",
    visual_backbone=dict(variant="avid"),
    audio_backbone=dict(_delete_=True, type="AVIDAudioNet"),
    projection=dict(in_channels=512, hidden_channels=512, out_channels=128, num_layers=3),
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
)
test_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=8 / 16, audio_duration=2.0, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=16, clip_len=8, short_side=256),
    dict(type="CenterCrop", crop_size=224),
    dict(type="AVIDSpectrogram", statistics=statistics),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
