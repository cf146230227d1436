# CMAC on all of AudioSet: as many steps as 200 epochs of Kinetics-400 have.
_base_ = ["cmac_r2plus1d-18_8xb16-32x128-200e_audioset.py"]

ann_file_train = f"{_base_.data_root}/annotations/audioset_unbalanced_train.txt"

train_dataloader = dict(dataset=dict(ann_file=ann_file_train))
param_scheduler = [
    dict(type="LinearLR", start_factor=0.1, by_epoch=True, end=1, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=25)
