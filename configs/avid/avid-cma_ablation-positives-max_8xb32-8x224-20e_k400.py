# Figure 4, expansion baseline: positives by picture or sound, without agreement.
_base_ = ["avid-cma_r2plus1d-18_8xb32-8x224-20e_k400.py"]

custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(type="CrossModalAgreementHook", interval=5, mode="max"),
]
