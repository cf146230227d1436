# Acoustic scenes of DCASE 2013 as in the CMAC paper.
_base_ = ["../_base_/recipes/sound_60x1s.py", "../_base_/lists/dcase2013.py"]

test_dataloader = dict(dataset=_base_.recordings)
evaluation = dict(
    benchmark="dcase2013",
    protocol="cmac-60x1s",
    class_file=_base_.classes,
)
