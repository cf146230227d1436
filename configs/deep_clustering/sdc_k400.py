# SDC on Kinetics-400: each encoder learns its own clusters (DeepCluster).
_base_ = ["xdc_k400.py"]

model = dict(supervision=dict(_delete_=True, visual=["visual"], audio=["audio"]))
