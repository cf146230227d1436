# Retrieval on UCF101 as in the CMAC paper. See README.md.
_base_ = ["../_base_/recipes/retrieval_cmac-32x128.py", "../_base_/lists/ucf101.py"]

test_dataloader = dict(dataset=dict(gallery=_base_.train_videos, query=_base_.test_videos))
evaluation = dict(
    benchmark="ucf101-retrieval",
    class_file=f"{_base_.data_root}/annotations/classes.txt",
)
