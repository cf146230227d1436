# The clips of AVID's ablations: 16 frames at 16 fps, 112x112, and 2 s of sound as 129 bands x 100
# frames of 20 ms. `AVIDSpectrogram` is given its statistics by the files that build on this one.
_base_ = ["avid_8x224.py"]

spectrogram = dict(type="AVIDSpectrogram", n_fft=512, hop_length=480)
train_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0, audio_duration=2.0, visual_offset=(-0.5, 2.0)),
    dict(type="DecodeAudioVisual", fps=16, clip_len=16, silence_db=-80),
    dict(type="RandomResizedCrop", area_range=(0.08, 1.0)),
    dict(type="Resize", scale=(112, 112), keep_ratio=False),
    dict(type="Flip"),
    dict(type="VolumeJitter", low=0.9, high=1.1),
    spectrogram,
    dict(type="PackAudioVisual"),
]
test_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0, audio_duration=2.0, num_clips=10, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=16, clip_len=16, short_side=128),
    dict(type="CenterCrop", crop_size=112),
    spectrogram,
    dict(type="PackAudioVisual"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
