# The paper's recipe: linear warm-up over 10 epochs, then constant.
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-5),
)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=True, end=10, convert_to_iter_based=True)
]
train_cfg = dict(type="ResumableTrainLoop", max_epochs=200)
auto_scale_lr = dict(enable=False, base_batch_size=128)
