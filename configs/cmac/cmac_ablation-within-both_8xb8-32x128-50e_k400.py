# Table 3, row 4: within-modal positives from a second clip, and within-modal negatives.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(head=dict(loss_contrastive=dict(within_modal_positives=True)))
train_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0, num_clips=2),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
