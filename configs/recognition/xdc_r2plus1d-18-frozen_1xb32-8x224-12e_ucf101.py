# The classifier alone on UCF101: column "fc" of XDC's table 5.
_base_ = ["xdc_r2plus1d-18_1xb32-8x224-12e_ucf101.py"]

work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{_base_.split}"

model = dict(type="FrozenRecognizer3D")
optim_wrapper = dict(paramwise_cfg=None)  # no encoder to train
default_hooks = dict(result=dict(benchmark="ucf101-frozen"))
