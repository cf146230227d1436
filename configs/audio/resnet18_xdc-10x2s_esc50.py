# ESC-50 with XDC's audio encoder frozen (its table 5): a linear layer on ResNet-18, 40 mel filters.
_base_ = ["resnet9_10x2s_esc50.py"]

protocol = "xdc"

model = dict(backbone=dict(depth=18))
pipeline = [
    dict(type="LoadAudio"),
    dict(type="SampleClips", duration=2.0, num_clips=10, mode="uniform"),
    dict(type="CropAudio"),
    dict(type="LogMelSpectrogram", num_mels=40, hop_length=480),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
