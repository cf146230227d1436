# MDC on CMAC's networks, clips and optimiser.
_base_ = ["xdc_cmac-input_k400.py"]

model = dict(supervision=dict(_delete_=True, visual=["visual", "audio"], audio=["visual", "audio"]))
