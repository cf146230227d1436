# The last step of XDC (its section 6): the video encoder is trained again, from random weights, on
# the last round's clusters with 32 frames a clip. Nothing is clustered. The audio encoder, whose
# input is the same, goes on. The 30 epochs are ours.
_base_ = ["xdc_r2plus1d-18_8xb32-8x224-60e_k400.py"]

load_from = "work_dirs/xdc_r2plus1d-18_8xb32-8x224-60e_k400/epoch_60.pth"
batch_size = 8  # a GPU; the learning rate is for 256 in all, see auto_scale_lr
sample = dict(type="SampleClips", duration=32 / 30, audio_duration=2.0)
decode = dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=256)

train_pipeline = [
    _base_.train_pipeline[0],
    sample,
    dict(
        **decode,
        silence_db=-80,
        transforms=[dict(type="RandomCrop", size=224), dict(type="Flip")],
    ),
    *_base_.train_pipeline[3:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(**sample, mode="uniform", num_clips=10),
    decode,
    *_base_.test_pipeline[3:],
]
train_dataloader = dict(batch_size=batch_size, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(batch_size=1, dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(accumulative_counts=4)
train_cfg = dict(max_epochs=30)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(type="CosineAnnealingLR", begin=20, end=30, by_epoch=True, convert_to_iter_based=True),
]
custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(type="ClusteringHook", num_rounds=0, restart=["visual"]),
]
