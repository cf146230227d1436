# ESC-50 with AVID's own audio network and front end, frozen. Max-pooled as in its training: before
# pooling a clip has 113,152 values, all clips together 7 GB (`model.pooling=none`).
_base_ = ["../_base_/recipes/sound_10x2s.py", "../_base_/lists/esc50.py"]

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
    benchmark="esc50",
    protocol="avid-net-10x2s",
    class_file=_base_.classes,
)
