# Linear probes on the four stages of a frozen encoder (AVID's tables 1 and 2): AVID's network and
# clips, 8 frames at 16 fps, 224x224.
_base_ = [
    "../_base_/models/linear_probe_r2plus1d-18.py",
    "../_base_/lists/kinetics400.py",
    "../_base_/datasets/recognition_avid-8x224.py",
    "../_base_/schedules/linear_probe_12e.py",
    "../_base_/default_runtime.py",
]

batch_size = 16  # clips a GPU; the learning rate is for 128 in all, see auto_scale_lr

model = dict(backbone=dict(variant="avid"))
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(repeats=1),  # clips of each video an epoch
    dataset=dict(**_base_.train_videos, on_error="replace"),
)
test_dataloader = dict(dataset=_base_.test_videos)
test_evaluator = dict(_delete_=True, type="MultiStageAccuracy")
default_hooks = dict(
    result=dict(type="ResultHook", benchmark="k400-linear", protocol="avid-8x224"),
)
evaluation = dict(splits=None)  # there are none
