# Figure 4, expansion baseline: positives by picture alone, without agreement.
_base_ = ["avid-cma_k400.py"]

custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(type="CrossModalAgreementHook", interval=5, mode="visual"),
]
