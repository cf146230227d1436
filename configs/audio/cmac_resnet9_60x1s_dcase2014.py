# The same on what papers call DCASE 2014.
_base_ = ["../_base_/recipes/sound_60x1s.py", "../_base_/lists/dcase2014.py"]

test_dataloader = dict(dataset=_base_.recordings)
evaluation = dict(
    benchmark="dcase2014",
    protocol="cmac-60x1s",
    class_file=_base_.classes,
)
