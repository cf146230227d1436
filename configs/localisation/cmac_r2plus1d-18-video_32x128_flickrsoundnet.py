# Flickr-SoundNet, its videos, with CMAC's attention. See README.md.
_base_ = [
    "../_base_/models/cmac_r2plus1d-18_resnet9.py",
    "../_base_/recipes/localisation_cmac-32x128.py",
    "../_base_/lists/flickrsoundnet.py",
]

test_dataloader = dict(dataset=dict(**_base_.videos, pipeline=_base_.video_pipeline))
evaluation = dict(type="localisation", benchmark=_base_.benchmark, protocol="video")
