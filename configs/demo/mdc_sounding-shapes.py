# MDC on the built-in set: two heads an encoder, for its own clusters and the other's.
_base_ = ["xdc_sounding-shapes.py"]

model = dict(
    head=dict(
        supervision=dict(_delete_=True, visual=["visual", "audio"], audio=["visual", "audio"])
    )
)
