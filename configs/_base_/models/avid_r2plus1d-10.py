# AVID's networks in its ablations: R(2+1)D with one block a stage and no max-pool in the stem, and
# an audio net whose first block has stride 1.
_base_ = ["avid_r2plus1d-18.py"]

model = dict(
    visual_backbone=dict(depth=10, stem_pool=False),
    audio_backbone=dict(strides=(1, 2, 2, 1)),
)
