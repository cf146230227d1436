# The classifier alone on UCF101, on CMAC's clips.
_base_ = ["cmac_r2plus1d-18_1xb16-32x128-12e_ucf101.py"]

work_dir = f"work_dirs/{{fileBasenameNoExtension}}/split{_base_.split}"

model = dict(type="FrozenRecognizer3D")
default_hooks = dict(result=dict(benchmark="ucf101-frozen"))
