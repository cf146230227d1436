# Figure 3: lambda = 10 (1 is avid-cma_k400.py).
_base_ = ["avid-cma_k400.py"]

model = dict(agreement_weight=10)
