# ESC-10, ten classes of ESC-50, with the same five folds.
_base_ = ["../_base_/recipes/sound_10x2s.py", "../_base_/lists/esc10.py"]

benchmark = "esc10"
protocol = "cmac-10x2s"

test_dataloader = dict(dataset=_base_.recordings)
evaluation = dict(class_file=_base_.classes)
