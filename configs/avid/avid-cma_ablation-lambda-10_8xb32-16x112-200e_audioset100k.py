# Figure 3: lambda = 10 (1 is avid-cma_ablation_8xb32-16x112-200e_audioset100k.py).
_base_ = ["avid-cma_ablation_8xb32-16x112-200e_audioset100k.py"]

model = dict(head=dict(agreement_weight=10))
