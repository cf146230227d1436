# AVID's fine-tuning, 32 frames. The schedule depends on the data set.
_base_ = [
    "../models/recognizer_r2plus1d-18.py",
    "../datasets/recognition_avid-32x224.py",
    "../default_runtime.py",
]

batch_size = 32  # clips a GPU; the learning rate is for 32 in all, see auto_scale_lr

model = dict(
    data_preprocessor=dict(
        color_jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    ),
    backbone=dict(variant="avid"),
    cls_head=dict(type="MaxPoolHead", dropout_ratio=0.5),
)
train_dataloader = dict(batch_size=batch_size)
test_dataloader = dict(batch_size=1)  # videos, of 10 clips each
default_hooks = dict(
    freeze_backbone=dict(type="FreezeBackboneHook", num_epochs=5),  # the classifier first
    result=dict(type="ResultHook", protocol="avid-32x224"),
)
auto_scale_lr = dict(enable=False, base_batch_size=32)
