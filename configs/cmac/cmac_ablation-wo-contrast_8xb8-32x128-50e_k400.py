# Table 1, "CMAC w/o L_cl": attention consistency alone.
_base_ = ["cmac_ablation_8xb8-32x128-50e_k400.py"]

model = dict(head=dict(loss_contrastive=None))
# The guided map is a pseudo label: the filters take no gradient from it, and have no other loss.
find_unused_parameters = True
