# VGG-SS, still pictures and their sounds, with AVID's class activation. See README.md.
_base_ = [
    "../_base_/models/avid_r2plus1d-18.py",
    "../_base_/recipes/localisation_avid-8x224.py",
    "../_base_/lists/vggss.py",
]

test_dataloader = dict(dataset=dict(**_base_.stills, pipeline=_base_.still_pipeline))
evaluation = dict(type="localisation", benchmark=_base_.benchmark, protocol="still")
