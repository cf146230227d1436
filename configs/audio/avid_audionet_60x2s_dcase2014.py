# DCASE with AVID's own audio network and front end, frozen: 60 clips to train, 10 to test.
_base_ = ["../_base_/recipes/sound_60x2s.py", "../_base_/lists/dcase2014.py"]

statistics = "data/kinetics400/annotations/avid_spectrogram.json"  # those of the pretraining

model = dict(
    pooling="max",
    backbone=dict(_delete_=True, type="AVIDAudioNet"),
    data_preprocessor=dict(audio_mean=0.0, audio_std=1.0),
)
pipeline = [
    *_base_.pipeline[:3],
    dict(type="AVIDSpectrogram", statistics=statistics),
    _base_.pipeline[-1],
]
test_dataloader = dict(dataset=dict(**_base_.recordings, pipeline=pipeline))
evaluation = dict(
    benchmark="dcase2014",
    protocol="avid-net-60x2s",
    class_file=_base_.classes,
    test_clips=10,
)
