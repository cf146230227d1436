# A cell of table 2 that the paper leaves out: norm "none", 2 scales.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(neck=dict(norm="none", num_scales=2))
