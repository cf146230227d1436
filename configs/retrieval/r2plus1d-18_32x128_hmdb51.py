# Retrieval on HMDB51 as in the CMAC paper, see r2plus1d-18_32x128_ucf101.py.
_base_ = ["r2plus1d-18_32x128_ucf101.py"]

data_root = "data/hmdb51"
split = 1  # the papers'
benchmark = "hmdb51-retrieval"
class_file = f"{data_root}/annotations/classes.txt"
ann_file = f"{data_root}/annotations/hmdb51_{{}}_split{split}.txt"
video_dir = f"{data_root}/videos"

test_dataloader = dict(
    dataset=dict(
        gallery=dict(ann_file=ann_file.format("train"), data_prefix=dict(video=video_dir)),
        query=dict(ann_file=ann_file.format("test"), data_prefix=dict(video=video_dir)),
    ),
)
