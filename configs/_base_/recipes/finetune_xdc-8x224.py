# XDC's fine-tuning, 8 frames.
_base_ = [
    "../models/recognizer_r2plus1d-18.py",
    "../datasets/recognition_xdc-8x224.py",
    "../schedules/finetune_xdc_12e.py",
    "../default_runtime.py",
]

batch_size = 32  # clips a GPU; the learning rate is for 32 in all, see auto_scale_lr

model = dict(
    data_preprocessor=dict(
        mean=[110.2008, 100.63983, 95.99475],
        std=[58.14765, 56.46975, 55.332195],
    ),
    backbone=dict(variant="caffe2"),
)
train_dataloader = dict(batch_size=batch_size)
if not _base_.pretrained:  # from scratch all learns at one rate
    optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=1.0))))
default_hooks = dict(result=dict(type="ResultHook", protocol="xdc-8x224"))
