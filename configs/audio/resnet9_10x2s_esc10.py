# ESC-10, ten classes of ESC-50, with the same five folds.
_base_ = ["resnet9_10x2s_esc50.py"]

data_root = "data/esc50"
benchmark = "esc10"

test_dataloader = dict(
    dataset=dict(ann_file=[f"{data_root}/annotations/esc10_fold{fold}.txt" for fold in range(1, 6)])
)
evaluation = dict(class_file=f"{data_root}/annotations/esc10_classes.txt")
