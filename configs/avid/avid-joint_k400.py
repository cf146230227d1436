# Joint-AVID: across and within modalities (eq. 5).
_base_ = ["avid_k400.py"]

model = dict(cross_weight=1.0, self_weight=1.0)
