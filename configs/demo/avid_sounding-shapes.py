# AVID on the built-in set of sounding shapes: networks, clips and optimiser of the CMAC demo.
# The recipe is the demo's own, as the other's is: batch norm in the projections and 256 negatives;
# banks and temperature are the paper's.
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
        hidden_channels=128,
        embed_channels=64,
        projection_norm=True,
    ),
    num_negatives=256,
    num_positives=0,
)
custom_hooks = [*_base_.custom_hooks, dict(type="MemoryBankHook")]
