# AVID+CMA in the setting of the paper's figures 3 and 4: from epoch 200 of AVID another 200, with
# positives mined at the start and every 50 epochs.
_base_ = ["avid_ablation_8xb32-16x112-400e_audioset100k.py"]

load_from = "work_dirs/avid_ablation_8xb32-16x112-400e_audioset100k/epoch_200.pth"
model = dict(
    head=dict(agreement_weight=1.0, num_agreement_negatives=1024),
    num_positives=32,
)
train_cfg = dict(max_epochs=200)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="CrossModalAgreementHook", interval=50, mode="min"),
]
