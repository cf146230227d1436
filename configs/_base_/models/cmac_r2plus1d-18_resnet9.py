# CMAC as in the paper: R(2+1)D-18 and ResNet-9, two-scale cosine correlation, MoCo queues.
model = dict(
    type="CMAC",
    data_preprocessor=dict(
        type="AudioVisualDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        audio_mean=-5.0,  # dB, over clips of Kinetics-400 and UCF101
        audio_std=18.0,
    ),
    visual_backbone=dict(type="R2Plus1D", depth=18, variant="torchvision"),
    audio_backbone=dict(type="AudioResNet", depth=9),
    neck=dict(
        type="CMACNeck",
        visual_channels=512,
        audio_channels=512,
        channels=512,
        norm="cosine",
        num_scales=2,
    ),
    head=dict(
        type="CMACHead",
        filter_channels=512,
        visual_channels=512,
        audio_channels=512,
        projection="separate",
        projection_layers=2,
        hidden_channels=512,
        embed_channels=256,
        saliency_channels=128,
        loss_contrastive=dict(
            type="MoCoQueueLoss",
            temperature=0.07,
            within_modal_negatives=True,
            within_modal_positives=False,
        ),
        loss_attention=dict(
            type="AttentionConsistencyLoss",
            loss_weight=1.5,  # lambda
            reduction="sum",
            detach_target=True,
        ),
    ),
    queue_size=15000,
    momentum=0.999,
    shuffle_bn=True,
)
