# Same-modality XDC on Kinetics-400: two audio encoders learn each other's clusters.
_base_ = ["xdc_r2plus1d-18_8xb32-8x224-60e_k400.py"]

model = dict(
    visual_backbone=None,
    head=dict(supervision=dict(_delete_=True, audio=["audio_2"], audio_2=["audio"])),
)
