# Table 1, "CMAC w/o L_ac": the contrastive loss alone; figure 4, lambda = 0.
_base_ = ["cmac_k400_ablation.py"]

model = dict(head=dict(loss_attention=None))
