# DCASE as in the XDC paper: a linear SVM on the last stage of ResNet-18, 60 clips of a recording.
_base_ = ["resnet9_60x1s_dcase2014.py"]

protocol = "xdc"

model = dict(pooling="none", backbone=dict(depth=18))
pipeline = [
    dict(type="LoadAudio"),
    dict(type="SampleClips", duration=2.0, num_clips=60, mode="uniform"),
    dict(type="CropAudio"),
    dict(type="LogMelSpectrogram", num_mels=40, hop_length=480),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
evaluation = dict(svm=dict(C=[1e-7, 1e-6, 1e-5, 1e-4]))  # 4096 features
