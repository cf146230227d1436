# Table 3, row 1: no within-modal negatives, no within-modal positives.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(head=dict(loss_contrastive=dict(within_modal_negatives=False)))
