# AVID in the setting of the paper's table 1 and figures 3 and 4: its small networks, 16 frames of
# 112x112, the 100K subset of AudioSet that the authors publish, Adam 1e-4, 400 epochs of one clip a
# video. The list is that of `make_lists.py audioset --ids unbalanced_train-100k.txt`.
_base_ = [
    "../_base_/models/avid_r2plus1d-10.py",
    "../_base_/datasets/avid_16x112.py",
    "../_base_/schedules/adam_30e.py",
    "../_base_/default_runtime.py",
]

data_root = "data/audioset"
ann_file_train = f"{data_root}/annotations/unbalanced_train-100k.txt"
ann_file_test = f"{data_root}/annotations/audioset_eval.txt"
video_dir_train = video_dir_test = f"{data_root}/videos"
statistics = f"{data_root}/annotations/avid_spectrogram_129.json"
batch_size = 32  # a GPU; the learning rate is for 256 in all, see auto_scale_lr
num_workers = 8  # a GPU

spectrogram = dict(**_base_.spectrogram, statistics=statistics)
train_pipeline = [*_base_.train_pipeline[:-2], spectrogram, _base_.train_pipeline[-1]]
test_pipeline = [*_base_.test_pipeline[:-2], spectrogram, _base_.test_pipeline[-1]]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    sampler=dict(repeats=1),  # clips of each video an epoch
    dataset=dict(
        ann_file=ann_file_train, data_prefix=dict(video=video_dir_train), pipeline=train_pipeline
    ),
)
test_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(
        ann_file=ann_file_test, data_prefix=dict(video=video_dir_test), pipeline=test_pipeline
    ),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=400)
# CMA starts from the one in the middle, so all are kept.
default_hooks = dict(checkpoint=dict(interval=50, interval_iters=500, max_keep_ckpts=-1))
custom_hooks = [*_base_.custom_hooks, dict(type="MemoryBankHook")]
