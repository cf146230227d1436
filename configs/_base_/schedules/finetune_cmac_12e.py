# CMAC's fine-tuning: SGD, 16 clips a batch, 12 epochs. The paper names no decay: constant.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.005, momentum=0.9, weight_decay=5e-3),
)
param_scheduler = [dict(type="ConstantLR", factor=1.0, by_epoch=True)]
train_cfg = dict(type="ResumableTrainLoop", max_epochs=12)
auto_scale_lr = dict(enable=False, base_batch_size=16)
