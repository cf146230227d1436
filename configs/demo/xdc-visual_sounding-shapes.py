# Same-modality XDC on the built-in set: two visual encoders, each learns from the other's clusters.
_base_ = ["xdc_sounding-shapes.py"]

model = dict(
    audio_backbone=None,
    head=dict(supervision=dict(_delete_=True, visual=["visual_2"], visual_2=["visual"])),
)
