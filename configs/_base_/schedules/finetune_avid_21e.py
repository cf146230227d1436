# AVID's fine-tuning on UCF101: 5 epochs of the classifier alone, then 16 of everything, with the
# decay at epochs 6, 10, 14 of those 16. Meanwhile the encoder's batch norms keep their
# statistics too (the authors let them move). That phase is FreezeBackboneHook in the recipes.
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4))
param_scheduler = [dict(type="MultiStepLR", milestones=[11, 15, 19], gamma=0.3, by_epoch=True)]
train_cfg = dict(type="ResumableTrainLoop", max_epochs=21)
find_unused_parameters = True  # the encoder, at first
