# Kinetics-400 as tools/data/make_lists.py leaves it; the validation part serves for tests.
data_root = "data/kinetics400"
num_classes = 400
ann_file_train = f"{data_root}/annotations/kinetics400_train.txt"
ann_file_test = f"{data_root}/annotations/kinetics400_val.txt"
video_dir_train = f"{data_root}/train"
video_dir_test = f"{data_root}/val"
train_videos = dict(ann_file=ann_file_train, data_prefix=dict(video=video_dir_train))
test_videos = dict(ann_file=ann_file_test, data_prefix=dict(video=video_dir_test))
