# XDC's networks: R(2+1)D-18 and ResNet-18, globally average-pooled; heads of one linear layer.
model = dict(
    type="DeepClustering",
    data_preprocessor=dict(
        type="AudioVisualDataPreprocessor",
        mean=[110.2008, 100.63983, 95.99475],
        std=[58.14765, 56.46975, 55.332195],
        audio_mean=-5.0,  # dB; as in CMAC's
        audio_std=18.0,
    ),
    visual_backbone=dict(type="R2Plus1D", depth=18, variant="caffe2"),
    audio_backbone=dict(type="AudioResNet", depth=18),
    head=dict(
        type="ClusterHead",
        supervision=dict(visual=["audio"], audio=["visual"]),
        num_clusters=128,  # k; the paper has 64, 128, 256, 512 and 1024
        visual_channels=512,
        audio_channels=512,
    ),
)
