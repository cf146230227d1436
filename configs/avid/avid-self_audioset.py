# Self-AVID: within modalities alone (eq. 3).
_base_ = ["avid_audioset.py"]

model = dict(cross_weight=0.0, self_weight=1.0)
