# Table 3, row 3: within-modal positives from a second clip, no within-modal negatives.
_base_ = ["cmac_k400_ablation-within-both.py"]

model = dict(head=dict(loss_contrastive=dict(within_modal_negatives=False)))
