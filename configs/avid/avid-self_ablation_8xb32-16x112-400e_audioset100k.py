# Self-AVID: within modalities alone (eq. 3), table 1.
_base_ = ["avid_ablation_8xb32-16x112-400e_audioset100k.py"]

model = dict(head=dict(cross_weight=0.0, self_weight=1.0))
