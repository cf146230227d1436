# DCASE as in the AVID paper: SVM before pooling, 60 clips of a recording to train, 10 to test.
_base_ = ["resnet9_60x1s_dcase2014.py"]

protocol = "avid-60x2s"

model = dict(pooling="none")
pipeline = [
    dict(type="LoadAudio"),
    dict(type="SampleClips", duration=2.0, num_clips=60, mode="uniform"),
    dict(type="CropAudio"),
    dict(type="LogMelSpectrogram", num_mels=257),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(dataset=dict(pipeline=pipeline))
# 63 times as many features as pooled ones: stronger regularisation. At greater values of C the
# solver takes hours, not minutes.
evaluation = dict(test_clips=10, svm=dict(C=[1e-8, 1e-7, 1e-6, 1e-5]))
