# Table 1, "CMAC w/o L_ac": the contrastive loss alone; figure 4, lambda = 0.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(head=dict(loss_attention=None))
