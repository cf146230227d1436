# Figure 4, expansion baseline: positives by picture or sound, without agreement.
_base_ = ["avid-cma_ablation_8xb32-16x112-200e_audioset100k.py"]

custom_hooks = [
    *_base_.custom_hooks[:-1],
    dict(type="CrossModalAgreementHook", interval=50, mode="max"),
]
