# The same probes for CMAC's network and clips, 32 frames at 30 fps, 128x128. The stages are pooled
# to the same sizes, so that the probes are as large as AVID's.
_base_ = [
    "../_base_/models/recognizer_r2plus1d-18.py",
    "../_base_/datasets/recognition_cmac-32x128.py",
    "../_base_/schedules/linear_probe_12e.py",
    "../_base_/default_runtime.py",
]

pretrained = None  # a checkpoint whose encoder to judge; None: random weights
data_root = "data/kinetics400"
batch_size = 16  # clips a GPU; the learning rate is for 128 in all, see auto_scale_lr
num_workers = 8  # a GPU

model = dict(
    type="FrozenRecognizer3D",
    backbone=dict(
        variant="torchvision", out_indices=(0, 1, 2, 3), init_cfg=dict(checkpoint=pretrained)
    ),
    cls_head=dict(_delete_=True, type="MultiStageLinearHead", num_classes=400),
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    sampler=dict(repeats=1),  # clips of each video an epoch
    dataset=dict(
        ann_file=f"{data_root}/annotations/kinetics400_train.txt",
        data_prefix=dict(video=f"{data_root}/train"),
        on_error="replace",
    ),
)
test_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(
        ann_file=f"{data_root}/annotations/kinetics400_val.txt",
        data_prefix=dict(video=f"{data_root}/val"),
    ),
)
test_evaluator = dict(_delete_=True, type="MultiStageAccuracy")
default_hooks = dict(
    result=dict(type="ResultHook", benchmark="k400-linear", protocol="cmac-32x128"),
)
