# XDC's paper leaves its optimiser to a supplement. This is DeepCluster's: SGD at a constant rate,
# here warmed up over the first epoch, and down to nothing over the last round, whose weights are
# what is evaluated. Six rounds ("5 to 6 iterations to converge") of ten epochs.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=1e-5),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=True, end=1, convert_to_iter_based=True),
    dict(type="CosineAnnealingLR", begin=50, end=60, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(type="ResumableTrainLoop", max_epochs=60)
auto_scale_lr = dict(enable=False, base_batch_size=256)
