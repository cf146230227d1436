# Table 6b, "Single-Modal": MoCo on two clips of a video, sound alone.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(
    visual_backbone=None,
    neck=dict(visual_channels=None),
    head=dict(visual_channels=None, loss_attention=None),
)
train_pipeline = [
    dict(type="OpenAudioVisual", need_video=False),
    dict(type="SampleClips", duration=1.0, num_clips=2),
    dict(type="DecodeAudioVisual", silence_db=-80),
    *_base_.train_pipeline[3:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
# Nothing to retrieve across modalities: see the README for evaluating an encoder.
test_dataloader = None
test_evaluator = None
test_cfg = None
