# DCASE as in AVID's table 4, with its own audio network and front end: SVM before pooling, 60 clips
# of a recording to train, 10 to test.
_base_ = ["../_base_/recipes/sound_60x2s.py", "../_base_/lists/dcase2014.py"]

statistics = "data/kinetics400/annotations/avid_spectrogram.json"  # those of the pretraining

model = dict(
    pooling="none",
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
    protocol="avid-60x2s",
    class_file=_base_.classes,
    test_clips=10,
    linear=None,
    svm=dict(C=[1e-8, 1e-7, 1e-6, 1e-5]),
)
