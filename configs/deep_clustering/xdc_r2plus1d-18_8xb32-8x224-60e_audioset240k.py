# XDC on a random subset of AudioSet, as large as Kinetics-400, with the same recipe (tables 2, 3).
# For another size make its list (make_lists.py audioset --subsets N) and set `subset` and, where an
# epoch should be as long as one of Kinetics, train_dataloader.sampler.samples_per_epoch=240000.
_base_ = ["xdc_r2plus1d-18_8xb32-8x224-60e_k400.py"]

data_root = "data/audioset"
subset = "240k"
ann_file_train = f"{data_root}/annotations/audioset_train_{subset}.txt"
ann_file_test = f"{data_root}/annotations/audioset_eval.txt"
video_dir_train = video_dir_test = f"{data_root}/videos"

train_dataloader = dict(
    dataset=dict(ann_file=ann_file_train, data_prefix=dict(video=video_dir_train)),
)
test_dataloader = dict(
    dataset=dict(ann_file=ann_file_test, data_prefix=dict(video=video_dir_test)),
)
