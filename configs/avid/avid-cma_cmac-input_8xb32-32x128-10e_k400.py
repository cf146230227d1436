# AVID+CMA on CMAC's networks and clips: from epoch 10 of AVID on, another 10 epochs, so that all
# three methods see as many clips.
_base_ = ["avid_cmac-input_8xb32-32x128-20e_k400.py"]

load_from = "work_dirs/avid_cmac-input_8xb32-32x128-20e_k400/epoch_10.pth"
model = dict(head=dict(agreement_weight=1.0), num_positives=32)
train_cfg = dict(max_epochs=10)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="CrossModalAgreementHook", interval=5, mode="min"),
]
