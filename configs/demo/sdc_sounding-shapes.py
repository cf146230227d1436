# SDC on the built-in set: each encoder learns from its own clusters.
_base_ = ["xdc_sounding-shapes.py"]

model = dict(
    balance_own=True,
    head=dict(supervision=dict(_delete_=True, visual=["visual"], audio=["audio"])),
)
