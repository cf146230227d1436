# XDC on Kinetics-400: each encoder learns the clusters of the other's features. Six rounds of ten
# epochs, 8 GPUs x 32 clips. Input, networks and k are the paper's, the schedule is ours.
_base_ = [
    "../_base_/models/xdc_r2plus1d-18_resnet18.py",
    "../_base_/lists/kinetics400.py",
    "../_base_/datasets/xdc_8x224.py",
    "../_base_/schedules/xdc_6x10e.py",
    "../_base_/default_runtime.py",
]

batch_size = 32  # a GPU; the learning rate is for 256 in all, see auto_scale_lr
num_workers = 8  # a GPU
epochs_per_round = 10

train_dataloader = dict(batch_size=batch_size, num_workers=num_workers, dataset=_base_.train_videos)
test_dataloader = dict(num_workers=num_workers, dataset=_base_.test_videos)
default_hooks = dict(checkpoint=dict(interval_iters=500))
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type="ClusteringHook",
        epochs_per_round=epochs_per_round,
        pca_dim=256,
        pipeline=_base_.cluster_pipeline,
    ),
]
