# Retrieval on HMDB51 as in the CMAC paper. See README.md.
_base_ = ["../_base_/recipes/retrieval_cmac-32x128.py", "../_base_/lists/hmdb51.py"]

test_dataloader = dict(dataset=dict(gallery=_base_.train_videos, query=_base_.test_videos))
evaluation = dict(
    benchmark="hmdb51-retrieval",
    class_file=f"{_base_.data_root}/annotations/classes.txt",
)
