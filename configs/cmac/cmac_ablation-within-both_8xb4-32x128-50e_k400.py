# Table 3, row 4: within-modal positives from a second clip, and within-modal negatives.
# 7,018 iterations an epoch, as the paper has it: 32 videos x 2 clips a batch in place of 64 videos.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

batch_size = 4  # a GPU; the learning rate is for 32 in all, see auto_scale_lr

model = dict(head=dict(loss_contrastive=dict(within_modal_positives=True)))
train_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0, num_clips=2),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=train_pipeline))
auto_scale_lr = dict(base_batch_size=32)
