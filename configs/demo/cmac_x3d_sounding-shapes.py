# The demo with another encoder: MMAction2's X3D, untouched, as visual backbone.
_base_ = ["cmac_sounding-shapes.py"]

visual_channels = 432

model = dict(
    visual_backbone=dict(_delete_=True, type="X3D", gamma_w=1, gamma_b=2.25, gamma_d=1),
    neck=dict(visual_channels=visual_channels),
    head=dict(visual_channels=visual_channels),
)
