# XDC on the built-in set of sounding shapes: networks, clips, optimiser and budget of CMAC's demo.
# Four rounds of one epoch, the last of which goes on for two more: heads that begin anew would
# learn nothing at the end of the falling learning rate.
_base_ = ["cmac_sounding-shapes.py"]

model = dict(
    _delete_=True,
    type="DeepClustering",
    data_preprocessor=_base_.model.data_preprocessor,
    visual_backbone=_base_.model.visual_backbone,
    audio_backbone=_base_.model.audio_backbone,
    head=dict(
        type="ClusterHead",
        supervision=dict(visual=["audio"], audio=["visual"]),
        num_clusters=32,
        visual_channels=_base_.visual_width * 8,
        audio_channels=_base_.audio_width * 8,
    ),
)
train_dataloader = dict(sampler=dict(_delete_=True, type="ClusterBalancedSampler"))
custom_hooks = [
    *_base_.custom_hooks,
    # One clip from the middle of each video; silent files are refused, as in training.
    dict(
        type="ClusteringHook",
        epochs_per_round=1,
        num_rounds=4,
        batch_size=64,
        pca_dim=32,
        pipeline=[
            dict(type="OpenAudioVisual"),
            dict(type="SampleClips", duration=1.0, mode="uniform"),
            dict(**_base_.clip, silence_db=-80),
            dict(type="CenterCrop", crop_size=64),
            _base_.log_mel,
            dict(type="PackAudioVisual"),
        ],
    ),
]
