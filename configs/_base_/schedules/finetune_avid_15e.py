# AVID's fine-tuning on HMDB51: 5 epochs of the classifier alone, then 10 of everything, with the
# decay at epochs 3, 6, 8 of those 10. Meanwhile the encoder's batch norms keep their
# statistics too (the authors let them move). That phase is FreezeBackboneHook in the recipes.
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=1e-4))
param_scheduler = [dict(type="MultiStepLR", milestones=[8, 11, 13], gamma=0.3, by_epoch=True)]
train_cfg = dict(type="ResumableTrainLoop", max_epochs=15)
find_unused_parameters = True  # the encoder, at first
