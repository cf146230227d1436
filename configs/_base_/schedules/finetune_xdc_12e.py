# XDC's paper leaves its optimizer to a supplement. This is GDT's fine-tuning, made for the same
# clips and network: SGD, 32 clips a batch, 12 epochs of which the first two warm up; a pretrained
# encoder learns at a tenth of the classifier's rate, one from scratch at the same.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=5e-3),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
param_scheduler = [
    # 1/8, 9/16 and from the third epoch on the whole
    dict(type="LinearLR", start_factor=0.125, by_epoch=True, end=3),
    dict(type="MultiStepLR", milestones=[7, 11], gamma=0.05, by_epoch=True),
]
train_cfg = dict(type="ResumableTrainLoop", max_epochs=12)
auto_scale_lr = dict(enable=False, base_batch_size=32)
