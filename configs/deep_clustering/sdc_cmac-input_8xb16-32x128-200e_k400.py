# SDC on CMAC's networks, clips and optimiser.
_base_ = ["xdc_cmac-input_8xb16-32x128-200e_k400.py"]

model = dict(
    balance_own=True,
    head=dict(supervision=dict(_delete_=True, visual=["visual"], audio=["audio"])),
)
