# AVID+CMA on sounding shapes: the last epochs of AVID's demo with positives mined from its banks.
# Starts from epoch 4 of 6, so that AVID, AVID+CMA and CMAC see as many clips.
_base_ = ["avid_sounding-shapes.py"]

load_from = "work_dirs/avid_sounding-shapes/epoch_4.pth"
epochs = 2

model = dict(num_positives=32)
train_cfg = dict(max_epochs=epochs)
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=20),
    dict(type="CosineAnnealingLR", by_epoch=True, T_max=epochs, convert_to_iter_based=True),
]
custom_hooks = [
    *_base_.custom_hooks,
    dict(type="CrossModalAgreementHook", interval=1, mode="min"),
]
