# XDC on AudioSet (2M videos), the recipe of Kinetics-400. Ours: three epochs a round, as there are
# nine times as many videos. Table 2 has k = 256 best on UCF101 and HMDB51, 128 on ESC-50.
_base_ = ["xdc_r2plus1d-18_8xb32-8x224-60e_k400.py"]

data_root = "data/audioset"
ann_file_train = f"{data_root}/annotations/audioset_unbalanced_train.txt"
ann_file_test = f"{data_root}/annotations/audioset_eval.txt"
video_dir_train = video_dir_test = f"{data_root}/videos"
epochs_per_round = 3

model = dict(head=dict(num_clusters=256))
train_dataloader = dict(
    dataset=dict(ann_file=ann_file_train, data_prefix=dict(video=video_dir_train)),
)
test_dataloader = dict(
    dataset=dict(ann_file=ann_file_test, data_prefix=dict(video=video_dir_test)),
)
train_cfg = dict(max_epochs=18)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(type="CosineAnnealingLR", begin=15, end=18, by_epoch=True, convert_to_iter_based=True),
]
custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(
        type="ClusteringHook",
        epochs_per_round=epochs_per_round,
        pca_dim=256,
        pipeline=_base_.cluster_pipeline,
    ),
]
