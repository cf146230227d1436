# XDC on CMAC's networks, clips and optimiser (cmac_k400.py), to compare the methods like with like:
# 200 epochs in ten rounds.
_base_ = ["../cmac_k400.py"]

epochs_per_round = 20
cluster_pipeline = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=1.0, mode="uniform"),
    dict(type="DecodeAudioVisual", fps=30, clip_len=32, short_side=144, silence_db=-80),
    dict(type="CenterCrop", crop_size=128),
    dict(type="LogMelSpectrogram", num_mels=257),
    dict(type="PackAudioVisual"),
]

model = dict(
    _delete_=True,
    type="DeepClustering",
    data_preprocessor=_base_.model.data_preprocessor,
    visual_backbone=_base_.model.visual_backbone,
    audio_backbone=_base_.model.audio_backbone,
    head=dict(
        type="ClusterHead",
        supervision=dict(visual=["audio"], audio=["visual"]),
        num_clusters=128,
        visual_channels=512,
        audio_channels=512,
    ),
)
train_dataloader = dict(sampler=dict(_delete_=True, type="ClusterBalancedSampler"))
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type="ClusteringHook",
        epochs_per_round=epochs_per_round,
        pca_dim=256,
        pipeline=cluster_pipeline,
    ),
]
