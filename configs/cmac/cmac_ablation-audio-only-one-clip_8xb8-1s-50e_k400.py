# Table 6b, "Single-Modal", read the other way: two views of one clip.
_base_ = ["cmac_ablation-audio-only_8xb8-1s-50e_k400.py"]

train_pipeline = [
    _base_.train_pipeline[0],
    dict(type="SampleClips", duration=1.0, num_clips=2, same_start=True),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
