_base_ = ["mmaction::_base_/default_runtime.py"]

custom_imports = dict(imports=["cmac_mm", "tiny"], allow_failed_imports=False)
model = dict(type="TinyModel")
batch_size = 2
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(type="TinyDataset"),
    collate_fn=dict(type="default_collate"),
)
val_dataloader = test_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="TinyDataset"),
    collate_fn=dict(type="default_collate"),
)
val_evaluator = test_evaluator = dict(type="TinyAccuracy", prefix="tiny")
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=1)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(optimizer=dict(type="SGD", lr=0.05, momentum=0.9))
# Schedulers and a hook with state of their own in the checkpoint.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=3),
    dict(type="MultiStepLR", milestones=[1]),
    dict(type="CosineAnnealingLR", T_max=4),
]
custom_hooks = [dict(type="EMAHook")]
auto_scale_lr = dict(base_batch_size=8)
