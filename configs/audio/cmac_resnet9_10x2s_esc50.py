# ESC-50 as in the CMAC paper: mean of the five official folds. See README.md.
_base_ = ["../_base_/recipes/sound_10x2s.py", "../_base_/lists/esc50.py"]

test_dataloader = dict(dataset=_base_.recordings)
evaluation = dict(
    benchmark="esc50",
    protocol="cmac-10x2s",
    class_file=_base_.classes,
)
