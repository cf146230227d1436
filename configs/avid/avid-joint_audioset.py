# Joint-AVID: across and within modalities (eq. 5).
_base_ = ["avid_audioset.py"]

model = dict(cross_weight=1.0, self_weight=1.0)
