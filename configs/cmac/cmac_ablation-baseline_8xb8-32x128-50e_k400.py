# Table 6b, "Baseline": eq. 2, cross-modal contrast without within-modal negatives and attention.
_base_ = ["cmac_ablation-wo-within-negatives_8xb8-32x128-50e_k400.py"]

model = dict(head=dict(loss_attention=None))
