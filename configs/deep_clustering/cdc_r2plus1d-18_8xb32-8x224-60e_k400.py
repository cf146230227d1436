# CDC on Kinetics-400: clusters of both features, each L2-normalised, one after the other.
_base_ = ["xdc_r2plus1d-18_8xb32-8x224-60e_k400.py"]

model = dict(head=dict(supervision=dict(_delete_=True, visual=["joint"], audio=["joint"])))
