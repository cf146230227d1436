# Table 3, row 3: within-modal positives from a second clip, no within-modal negatives in the
# cross-modal terms.
_base_ = ["cmac_ablation-within-both_8xb4-32x128-50e_k400.py"]

model = dict(head=dict(loss_contrastive=dict(within_modal_negatives=False)))
