# Table 2, norm "softmax", one scale.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(neck=dict(norm="softmax", num_scales=1))
