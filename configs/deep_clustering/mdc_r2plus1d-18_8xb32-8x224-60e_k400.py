# MDC on Kinetics-400: two heads an encoder, for its own clusters and for the other's.
_base_ = ["xdc_r2plus1d-18_8xb32-8x224-60e_k400.py"]

model = dict(
    head=dict(
        supervision=dict(_delete_=True, visual=["visual", "audio"], audio=["visual", "audio"])
    )
)
