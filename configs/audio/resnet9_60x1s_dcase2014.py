# The same on what papers call DCASE 2014; lists of your own division fit as well.
_base_ = ["resnet9_60x1s_dcase2013.py"]

data_root = "data/dcase2014"
benchmark = "dcase2014"

test_dataloader = dict(
    dataset=dict(
        ann_file=[f"{data_root}/annotations/dcase2014_{part}.txt" for part in ("test", "train")],
        data_prefix=dict(audio=data_root),
    )
)
evaluation = dict(class_file=f"{data_root}/annotations/classes.txt")
