# DCASE as in the XDC paper: a linear SVM on the last stage of ResNet-18, 60 clips of a recording.
_base_ = ["../_base_/recipes/sound_60x2s.py", "../_base_/lists/dcase2014.py"]

model = dict(pooling="none", backbone=dict(depth=18))
pipeline = [
    *_base_.pipeline[:3],
    dict(type="LogMelSpectrogram", num_mels=40, hop_length=480),
    _base_.pipeline[-1],
]
test_dataloader = dict(dataset=dict(**_base_.recordings, pipeline=pipeline))
evaluation = dict(
    benchmark="dcase2014",
    protocol="xdc",
    class_file=_base_.classes,
    svm=dict(C=[1e-7, 1e-6, 1e-5, 1e-4]),  # 4096 features
)
