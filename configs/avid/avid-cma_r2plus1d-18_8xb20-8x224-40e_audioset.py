# AVID+CMA on AudioSet, the authors' recipe: another 40 epochs at Adam 1e-4, mined every 10.
_base_ = ["avid_r2plus1d-18_8xb20-8x224-40e_audioset.py"]

load_from = "work_dirs/avid_r2plus1d-18_8xb20-8x224-40e_audioset/epoch_40.pth"
model = dict(head=dict(agreement_weight=1.0), num_positives=32)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="CrossModalAgreementHook", interval=10, mode="min"),
]
