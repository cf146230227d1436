# Figure 4, lambda = 0.5.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(head=dict(loss_attention=dict(loss_weight=0.5)))
