# AVID on CMAC's networks and clips (cmac_k400.py), to compare the methods like with like: 20 epochs
# of 10 clips a video are as many clips as CMAC's 200 epochs have.
_base_ = [
    "../_base_/models/avid_r2plus1d-18.py",
    "../_base_/datasets/k400_32x128.py",
    "../_base_/schedules/adam_30e.py",
    "../_base_/default_runtime.py",
]

data_root = "data/kinetics400"
ann_file_train = f"{data_root}/annotations/kinetics400_train.txt"
ann_file_val = f"{data_root}/annotations/kinetics400_val.txt"
video_dir_train = f"{data_root}/train"
video_dir_val = f"{data_root}/val"
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
    dataset=dict(ann_file=ann_file_train, data_prefix=dict(video=video_dir_train)),
)
test_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(ann_file=ann_file_val, data_prefix=dict(video=video_dir_val)),
)
train_cfg = dict(max_epochs=20)
default_hooks = dict(checkpoint=dict(interval_iters=500, max_keep_ckpts=-1))
custom_hooks = [*_base_.custom_hooks, dict(type="MemoryBankHook")]
