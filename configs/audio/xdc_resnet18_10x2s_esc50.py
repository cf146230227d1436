# ESC-50 with XDC's audio encoder frozen (its table 5): a linear layer on ResNet-18, 40 mel filters.
_base_ = ["../_base_/recipes/sound_10x2s.py", "../_base_/lists/esc50.py"]

model = dict(backbone=dict(depth=18))
pipeline = [
    *_base_.pipeline[:3],
    dict(type="LogMelSpectrogram", num_mels=40, hop_length=480),
    _base_.pipeline[-1],
]
test_dataloader = dict(dataset=dict(**_base_.recordings, pipeline=pipeline))
evaluation = dict(
    benchmark="esc50",
    protocol="xdc",
    class_file=_base_.classes,
)
