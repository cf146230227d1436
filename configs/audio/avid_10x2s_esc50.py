# ESC-50 with AVID's own audio network and front end, frozen. Max-pooled as in its training: before
# pooling a clip has 113,152 values, all clips together 7 GB (`model.pooling=none`).
_base_ = ["resnet9_10x2s_esc50.py"]

protocol = "avid-net-10x2s"
statistics = "data/kinetics400/annotations/avid_spectrogram.json"  # those of the pretraining

model = dict(
    pooling="max",
    backbone=dict(_delete_=True, type="AVIDAudioNet"),
    data_preprocessor=dict(audio_mean=0.0, audio_std=1.0),
)
pipeline = [
    dict(type="LoadAudio"),
    dict(type="SampleClips", duration=2.0, num_clips=10, mode="uniform"),
    dict(type="CropAudio"),
    dict(type="AVIDSpectrogram", statistics=statistics),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
