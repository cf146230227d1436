# Table 2, cosine norm, 3 scales (2 is cmac_ablation_8xb8-32x128-50e_k400.py).
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(neck=dict(num_scales=3))
