# Same-modality XDC on the built-in set: two audio encoders, each learns from the other's clusters.
_base_ = ["xdc_sounding-shapes.py"]

model = dict(
    visual_backbone=None,
    head=dict(supervision=dict(_delete_=True, audio=["audio_2"], audio_2=["audio"])),
)
