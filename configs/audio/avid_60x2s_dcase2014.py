# DCASE with AVID's own audio network and front end, frozen: 60 clips to train, 10 to test.
_base_ = ["resnet9_60x1s_dcase2014.py"]

protocol = "avid-net-60x2s"
statistics = "data/kinetics400/annotations/avid_spectrogram.json"  # those of the pretraining

model = dict(
    pooling="max",
    backbone=dict(_delete_=True, type="AVIDAudioNet"),
    data_preprocessor=dict(audio_mean=0.0, audio_std=1.0),
)
pipeline = [
    dict(type="LoadAudio"),
    dict(type="SampleClips", duration=2.0, num_clips=60, mode="uniform"),
    dict(type="CropAudio"),
    dict(type="AVIDSpectrogram", statistics=statistics),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
evaluation = dict(test_clips=10)
