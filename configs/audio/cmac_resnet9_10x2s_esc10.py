# ESC-10, ten classes of ESC-50, with the same five folds.
_base_ = ["../_base_/recipes/sound_10x2s.py", "../_base_/lists/esc10.py"]

test_dataloader = dict(dataset=_base_.recordings)
evaluation = dict(
    benchmark="esc10",
    protocol="cmac-10x2s",
    class_file=_base_.classes,
)
