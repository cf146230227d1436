# MDC on Kinetics-400: two heads an encoder, for its own clusters and for the other's.
_base_ = ["xdc_k400.py"]

model = dict(supervision=dict(_delete_=True, visual=["visual", "audio"], audio=["visual", "audio"]))
