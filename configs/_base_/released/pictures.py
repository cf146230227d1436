# A released video encoder by itself: features of 10 uniform clips a video, averaged. The files that
# build on this one say which network, its mean and deviation, and the clips that it was trained on.
_base_ = ["loader.py"]

model = dict(
    type="FeatureExtractor",
    modality="visual",
    pooling="avg",
    backbone=dict(type="R2Plus1D", depth=18, variant="torchvision"),
    data_preprocessor=dict(
        type="AudioVisualDataPreprocessor",  # Kinetics-400's
        mean=[110.2008, 100.63983, 95.99475],
        std=[58.14765, 56.46975, 55.332195],
    ),
)
