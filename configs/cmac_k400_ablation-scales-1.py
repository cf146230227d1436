# Table 2, cosine norm, 1 scale (2 is cmac_k400_ablation.py).
_base_ = ["cmac_k400_ablation.py"]

model = dict(neck=dict(num_scales=1))
