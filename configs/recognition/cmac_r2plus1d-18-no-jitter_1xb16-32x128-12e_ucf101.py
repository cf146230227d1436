# CMAC's fine-tuning for its ablations (tables 1 to 3, figure 4): no colour jitter, split 1 alone.
_base_ = ["cmac_r2plus1d-18_1xb16-32x128-12e_ucf101.py"]

work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{_base_.split}"

model = dict(data_preprocessor=dict(color_jitter=None))
default_hooks = dict(result=dict(protocol="cmac-32x128-no-jitter"))
evaluation = dict(splits=[1])
