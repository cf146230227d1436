# SDC on Kinetics-400: each encoder learns its own clusters (DeepCluster).
_base_ = ["xdc_r2plus1d-18_8xb32-8x224-60e_k400.py"]

model = dict(
    balance_own=True,
    head=dict(supervision=dict(_delete_=True, visual=["visual"], audio=["audio"])),
)
