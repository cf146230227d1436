# HMDB51 as tools/data/make_lists.py leaves it.
data_root = "data/hmdb51"
split = 1  # 1, 2 or 3
num_classes = 51
ann_file_train = f"{data_root}/annotations/hmdb51_train_split{split}.txt"
ann_file_test = f"{data_root}/annotations/hmdb51_test_split{split}.txt"
video_dir = f"{data_root}/videos"
train_videos = dict(ann_file=ann_file_train, data_prefix=dict(video=video_dir))
test_videos = dict(ann_file=ann_file_test, data_prefix=dict(video=video_dir))
