# CDC on the built-in set: clusters of both encoders' features side by side.
_base_ = ["xdc_sounding-shapes.py"]

model = dict(head=dict(supervision=dict(_delete_=True, visual=["joint"], audio=["joint"])))
