# Joint-AVID: across and within modalities (eq. 5).
_base_ = ["avid_r2plus1d-18_8xb32-8x224-30e_k400.py"]

model = dict(head=dict(cross_weight=1.0, self_weight=1.0))
