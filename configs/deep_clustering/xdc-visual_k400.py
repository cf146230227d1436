# Same-modality XDC on Kinetics-400: two visual encoders learn each other's clusters.
_base_ = ["xdc_k400.py"]

model = dict(
    audio_backbone=None,
    supervision=dict(_delete_=True, visual=["visual_2"], visual_2=["visual"]),
)
