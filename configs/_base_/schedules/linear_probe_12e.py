# AVID's linear probes on Kinetics-400: Adam 1e-4 for 128 clips a batch, a tenth from epoch 6 and
# again from epoch 9. The last epoch counts: nothing is chosen on the validation set.
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4))
param_scheduler = [dict(type="MultiStepLR", milestones=[6, 9], gamma=0.1, by_epoch=True)]
train_cfg = dict(type="ResumableTrainLoop", max_epochs=12)
auto_scale_lr = dict(enable=False, base_batch_size=128)
