# AVID's recipe on Kinetics-400: Adam at a constant rate, 30 epochs (of ten clips a video).
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="Adam", lr=2e-4, weight_decay=1e-5),
)
param_scheduler = [dict(type="ConstantLR", factor=1.0, by_epoch=True)]
train_cfg = dict(type="ResumableTrainLoop", max_epochs=30)
auto_scale_lr = dict(enable=False, base_batch_size=256)
