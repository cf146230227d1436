# Table 1, "Single Modality": MoCo on two clips of a video, pictures alone.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(
    audio_backbone=None,
    neck=dict(audio_channels=None),
    head=dict(audio_channels=None, loss_attention=None),
)
train_pipeline = [
    dict(type="OpenAudioVisual", need_audio=False),
    dict(type="SampleClips", duration=1.0, num_clips=2),
    dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=144),
    dict(type="PerClip", transforms=[dict(type="RandomCrop", size=128), dict(type="Flip")]),
    dict(type="PackAudioVisual"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# Nothing to retrieve across modalities: see the README for evaluating an encoder.
test_dataloader = None
test_evaluator = None
test_cfg = None
