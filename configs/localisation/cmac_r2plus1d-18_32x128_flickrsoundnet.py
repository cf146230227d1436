# Flickr-SoundNet, still pictures and their sounds, with CMAC's attention. See README.md.
_base_ = [
    "../_base_/models/cmac_r2plus1d-18_resnet9.py",
    "../_base_/recipes/localisation_cmac-32x128.py",
    "../_base_/lists/flickrsoundnet.py",
]

test_dataloader = dict(dataset=dict(**_base_.stills, pipeline=_base_.still_pipeline))
evaluation = dict(type="localisation", benchmark=_base_.benchmark, protocol="still")
