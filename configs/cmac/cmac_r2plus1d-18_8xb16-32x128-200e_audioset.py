# CMAC on a random subset of AudioSet, as large as Kinetics-400, with the same recipe.
_base_ = ["../cmac_k400.py"]

data_root = "data/audioset"
subset = "240k"  # "100k": the other size that papers use; tools/data/make_lists.py draws them
ann_file_train = f"{data_root}/annotations/audioset_train_{subset}.txt"
ann_file_test = f"{data_root}/annotations/audioset_eval.txt"
video_dir_train = video_dir_test = f"{data_root}/videos"

train_dataloader = dict(
    dataset=dict(ann_file=ann_file_train, data_prefix=dict(video=video_dir_train)),
)
test_dataloader = dict(
    dataset=dict(ann_file=ann_file_test, data_prefix=dict(video=video_dir_test)),
)
