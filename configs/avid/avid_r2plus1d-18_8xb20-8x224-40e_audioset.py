# AVID (Cross-AVID) on AudioSet, the authors' recipe: 8 GPUs x 20 clips, Adam 5e-4, 40 epochs of 5
# clips a video of the unbalanced part.
_base_ = ["avid_r2plus1d-18_8xb32-8x224-30e_k400.py"]

data_root = "data/audioset"
ann_file_train = f"{data_root}/annotations/audioset_unbalanced_train.txt"
ann_file_test = f"{data_root}/annotations/audioset_eval.txt"
video_dir_train = video_dir_test = f"{data_root}/videos"
statistics = f"{data_root}/annotations/avid_spectrogram.json"
batch_size = 20  # a GPU; the learning rate is for 160 in all, see auto_scale_lr
clips_per_video = 5  # an epoch

spectrogram = dict(type="AVIDSpectrogram", statistics=statistics)
train_pipeline = [*_base_.train_pipeline[:-2], spectrogram, _base_.train_pipeline[-1]]
test_pipeline = [*_base_.test_pipeline[:-2], spectrogram, _base_.test_pipeline[-1]]
train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(repeats=clips_per_video),
    dataset=dict(
        ann_file=ann_file_train, data_prefix=dict(video=video_dir_train), pipeline=train_pipeline
    ),
)
test_dataloader = dict(
    dataset=dict(
        ann_file=ann_file_test, data_prefix=dict(video=video_dir_test), pipeline=test_pipeline
    ),
)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_epochs=40)
auto_scale_lr = dict(base_batch_size=160)
