# Table 2, norm "softmax", one scale.
_base_ = ["cmac_k400_ablation.py"]

model = dict(neck=dict(norm="softmax", num_scales=1))
