# Acoustic scenes of DCASE 2013 as in the CMAC paper: 60 uniform clips of 1 s a recording.
_base_ = ["resnet9_10x2s_esc50.py"]

data_root = "data/dcase2013"
benchmark = "dcase2013"
protocol = "cmac-60x1s"

pipeline = [
    dict(type="LoadAudio"),
    dict(type="SampleClips", duration=1.0, num_clips=60, mode="uniform"),
    dict(type="CropAudio"),
    dict(type="LogMelSpectrogram", num_mels=257),
    dict(type="PackAudioVisual"),
]
test_dataloader = dict(
    batch_size=4,
    dataset=dict(
        ann_file=[f"{data_root}/annotations/dcase2013_{part}.txt" for part in ("test", "train")],
        data_prefix=dict(audio=data_root),
        pipeline=pipeline,
    ),
)
evaluation = dict(
    class_file=f"{data_root}/annotations/classes.txt",
    test_folds=[1],  # the first list is tested, never trained on
)
