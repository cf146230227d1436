# Figure 3: lambda = 0.1 (1 is avid-cma_r2plus1d-18_8xb32-8x224-20e_k400.py).
_base_ = ["avid-cma_r2plus1d-18_8xb32-8x224-20e_k400.py"]

model = dict(head=dict(agreement_weight=0.1))
