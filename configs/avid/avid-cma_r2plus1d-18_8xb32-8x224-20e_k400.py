# AVID+CMA on Kinetics-400: starts from AVID's weights, banks and Z; 20 epochs, positives mined at
# the start and every 5 epochs.
_base_ = ["avid_r2plus1d-18_8xb32-8x224-30e_k400.py"]

load_from = "work_dirs/avid_r2plus1d-18_8xb32-8x224-30e_k400/epoch_30.pth"
model = dict(head=dict(agreement_weight=1.0), num_positives=32)
train_cfg = dict(max_epochs=20)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="CrossModalAgreementHook", interval=5, mode="min"),
]
