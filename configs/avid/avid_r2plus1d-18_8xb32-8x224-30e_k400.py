# AVID (Cross-AVID) on Kinetics-400, the paper's recipe: 8 GPUs x 32 clips, 30 epochs of 10 clips a
# video. The statistics come from tools/data/spectrogram_statistics.py.
_base_ = [
    "../_base_/models/avid_r2plus1d-18.py",
    "../_base_/lists/kinetics400.py",
    "../_base_/datasets/avid_8x224.py",
    "../_base_/schedules/adam_30e.py",
    "../_base_/default_runtime.py",
]

statistics = f"{_base_.data_root}/annotations/avid_spectrogram.json"
batch_size = 32  # a GPU; the learning rate is for 256 in all, see auto_scale_lr
num_workers = 8  # a GPU
clips_per_video = 10  # an epoch

spectrogram = dict(type="AVIDSpectrogram", statistics=statistics)
train_pipeline = [*_base_.train_pipeline[:-2], spectrogram, _base_.train_pipeline[-1]]
test_pipeline = [*_base_.test_pipeline[:-2], spectrogram, _base_.test_pipeline[-1]]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=num_workers,
    sampler=dict(repeats=clips_per_video),
    dataset=dict(**_base_.train_videos, pipeline=train_pipeline),
)
test_dataloader = dict(
    num_workers=num_workers,
    dataset=dict(**_base_.test_videos, pipeline=test_pipeline),
)
default_hooks = dict(checkpoint=dict(interval_iters=500))
custom_hooks = [*_base_.custom_hooks, dict(type="MemoryBankHook")]
