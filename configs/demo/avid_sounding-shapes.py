# AVID on the built-in set of sounding shapes: networks, clips and optimiser of the CMAC demo.
# Loss and temperature are the paper's. Six visits a row are few (the paper's runs have hundreds),
# so that the recipe differs where that was found to matter, see docs/avid_study.md: the banks start
# from the untrained networks' embeddings and hold each video's last one (momentum 0), pooling is
# the average, projections are linear.
_base_ = ["cmac_sounding-shapes.py"]

model = dict(
    _delete_=True,
    type="AVID",
    data_preprocessor=_base_.model.data_preprocessor,
    visual_backbone=_base_.model.visual_backbone,
    audio_backbone=_base_.model.audio_backbone,
    head=dict(
        type="AVIDHead",
        visual_channels=_base_.visual_width * 8,
        audio_channels=_base_.audio_width * 8,
        pooling="avg",
        num_layers=1,
        embed_channels=64,
        projection_norm=True,
    ),
    num_negatives=256,
    num_positives=0,
    bank_momentum=0.0,
)
custom_hooks = [*_base_.custom_hooks, dict(type="MemoryBankHook", fill=True)]
