# The classifier alone on HMDB51: column "fc" of XDC's table 5.
_base_ = ["xdc_r2plus1d-18_1xb32-8x224-12e_hmdb51.py"]

work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{_base_.split}"

model = dict(type="FrozenRecognizer3D")
optim_wrapper = dict(paramwise_cfg=None)  # no encoder to train
default_hooks = dict(result=dict(benchmark="hmdb51-frozen"))
