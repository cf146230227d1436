# Table 2, norm "none", one scale.
_base_ = ["cmac_k400_ablation.py"]

model = dict(neck=dict(norm="none", num_scales=1))
