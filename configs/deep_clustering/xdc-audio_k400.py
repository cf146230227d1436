# Same-modality XDC on Kinetics-400: two audio encoders learn each other's clusters.
_base_ = ["xdc_k400.py"]

model = dict(
    visual_backbone=None,
    supervision=dict(_delete_=True, audio=["audio_2"], audio_2=["audio"]),
)
