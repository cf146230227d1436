# AVID+CMA on AudioSet: as on Kinetics-400, but mined every 10 epochs.
_base_ = ["avid_r2plus1d-18_8xb32-8x224-30e_audioset.py"]

load_from = "work_dirs/avid_r2plus1d-18_8xb32-8x224-30e_audioset/epoch_30.pth"
model = dict(head=dict(agreement_weight=1.0), num_positives=32)
train_cfg = dict(max_epochs=20)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="CrossModalAgreementHook", interval=10, mode="min"),
]
