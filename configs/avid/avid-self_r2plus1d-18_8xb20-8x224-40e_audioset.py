# Self-AVID: within modalities alone (eq. 3).
_base_ = ["avid_r2plus1d-18_8xb20-8x224-40e_audioset.py"]

model = dict(head=dict(cross_weight=0.0, self_weight=1.0))
