# CMAC on Kinetics-400, the paper's recipe: 8 GPUs x 16 videos, 200 epochs.
_base_ = [
    "_base_/models/cmac_r2plus1d-18_resnet9.py",
    "_base_/datasets/k400_32x128.py",
    "_base_/schedules/sgd_200e.py",
    "_base_/default_runtime.py",
]

data_root = "data/kinetics400"
ann_file_train = f"{data_root}/annotations/kinetics400_train.txt"
ann_file_val = f"{data_root}/annotations/kinetics400_val.txt"
video_dir_train = f"{data_root}/train"
video_dir_val = f"{data_root}/val"
batch_size = 16  # a GPU; the learning rate is for 128 in all, see auto_scale_lr
num_workers = 8  # a GPU

model = dict(
    data_preprocessor=dict(
        color_jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    ),
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    dataset=dict(ann_file=ann_file_train, data_prefix=dict(video=video_dir_train)),
)
test_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(ann_file=ann_file_val, data_prefix=dict(video=video_dir_val)),
)
default_hooks = dict(checkpoint=dict(interval_iters=500))
