# AVID on CMAC's networks and clips (cmac_k400.py), to compare the methods like with like: 20 epochs
# of 10 clips a video are as many clips as CMAC's 200 epochs have.
_base_ = [
    "../_base_/models/avid_r2plus1d-18.py",
    "../_base_/lists/kinetics400.py",
    "../_base_/datasets/cmac_32x128.py",
    "../_base_/schedules/adam_30e.py",
    "../_base_/default_runtime.py",
]

batch_size = 32  # a GPU; the learning rate is for 256 in all, see auto_scale_lr
num_workers = 8  # a GPU
clips_per_video = 10  # an epoch

model = dict(
    data_preprocessor=dict(audio_mean=-5.0, audio_std=18.0),  # as in CMAC's
    visual_backbone=dict(variant="torchvision"),
    audio_backbone=dict(_delete_=True, type="AudioResNet", depth=9),
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    sampler=dict(repeats=clips_per_video),
    dataset=_base_.train_videos,
)
test_dataloader = dict(num_workers=num_workers, dataset=_base_.test_videos)
train_cfg = dict(max_epochs=20)
default_hooks = dict(checkpoint=dict(interval_iters=500, max_keep_ckpts=-1))
custom_hooks = [*_base_.custom_hooks, dict(type="MemoryBankHook")]
