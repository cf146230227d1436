# Table 3, row 1: no within-modal negatives, no within-modal positives.
_base_ = ["cmac_k400_ablation.py"]

model = dict(head=dict(loss_contrastive=dict(within_modal_negatives=False)))
