# Loaders for fine-tuning; the pipelines and the lists come with the files that build on this one.
# With `repeats=10` an epoch has ten clips of each video, each drawn and shuffled on its own.
# Nothing is replaced by something else: a video that cannot be read ends the run.
dataset_type = "AudioVisualDataset"
num_workers = 8  # a GPU

train_dataloader = dict(
    batch_size=16,
    num_workers=num_workers,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    sampler=dict(type="ResumableSampler", shuffle=True, repeats=10),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type=dataset_type, on_error="raise"),
)
test_dataloader = dict(
    batch_size=4,  # videos, of 10 clips each
    num_workers=num_workers,
    persistent_workers=True,
    pin_memory=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type=dataset_type, test_mode=True),
)
test_evaluator = dict(type="VideoAccuracy")
test_cfg = dict(type="TestLoop")
evaluation = dict(type="finetune", splits=[1, 2, 3])  # train and test on each
