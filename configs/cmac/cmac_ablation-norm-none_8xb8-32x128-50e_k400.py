# Table 2, norm "none", one scale.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(neck=dict(norm="none", num_scales=1))
