# CMAC on Kinetics-400, the paper's recipe: 8 GPUs x 16 videos, 200 epochs.
_base_ = [
    "_base_/models/cmac_r2plus1d-18_resnet9.py",
    "_base_/lists/kinetics400.py",
    "_base_/datasets/cmac_32x128.py",
    "_base_/schedules/sgd_200e.py",
    "_base_/default_runtime.py",
]

batch_size = 16  # a GPU; the learning rate is for 128 in all, see auto_scale_lr
num_workers = 8  # a GPU

model = dict(
    data_preprocessor=dict(
        color_jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    ),
)
train_dataloader = dict(batch_size=batch_size, num_workers=num_workers, dataset=_base_.train_videos)
test_dataloader = dict(num_workers=num_workers, dataset=_base_.test_videos)
default_hooks = dict(checkpoint=dict(interval_iters=500))
