# What released encoders share: how videos are loaded; the pipeline is each one's own.
default_scope = "mmaction"

test_dataloader = dict(
    batch_size=4,  # videos
    num_workers=8,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
    dataset=dict(type="AudioVisualDataset", test_mode=True),
)
