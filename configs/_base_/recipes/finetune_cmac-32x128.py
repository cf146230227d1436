# CMAC's fine-tuning.
_base_ = [
    "../models/recognizer_r2plus1d-18.py",
    "../datasets/recognition_cmac-32x128.py",
    "../schedules/finetune_cmac_12e.py",
    "../default_runtime.py",
]

batch_size = 16  # clips a GPU; the learning rate is for 16 in all, see auto_scale_lr

model = dict(
    data_preprocessor=dict(
        color_jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    ),
)
train_dataloader = dict(batch_size=batch_size)
default_hooks = dict(result=dict(type="ResultHook", protocol="cmac-32x128"))
