# Figure 4, lambda = 2.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(head=dict(loss_attention=dict(loss_weight=2.0)))
