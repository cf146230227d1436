# CDC on Kinetics-400: clusters of both features, each L2-normalised, one after the other.
_base_ = ["xdc_k400.py"]

model = dict(supervision=dict(_delete_=True, visual=["joint"], audio=["joint"]))
