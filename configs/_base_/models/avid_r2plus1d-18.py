# AVID's networks and objective as in the paper: Cross-AVID, 1024 negatives, no agreement.
model = dict(
    type="AVID",
    data_preprocessor=dict(
        type="AudioVisualDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        color_jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2),
    ),
    visual_backbone=dict(type="R2Plus1D", depth=18, variant="avid"),
    audio_backbone=dict(type="AVIDAudioNet"),
    head=dict(
        type="AVIDHead",
        visual_channels=512,
        audio_channels=512,
        hidden_channels=512,
        embed_channels=128,
        cross_weight=1.0,
        self_weight=0.0,
        agreement_weight=1.0,  # lambda, once there are positives
        num_agreement_negatives=64,
        temperature=0.07,
    ),
    num_negatives=1024,
    num_positives=0,  # 32 with agreement
    bank_momentum=0.5,
)
