# R(2+1)D-18 with one linear layer on the globally average-pooled last stage.
pretrained = None  # a checkpoint whose encoder to start from; None: random weights

model = dict(
    type="Recognizer3D",
    data_preprocessor=dict(
        type="RecognizerDataPreprocessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type="R2Plus1D",
        depth=18,
        variant="torchvision",
        init_cfg=dict(type="PretrainedEncoder", checkpoint=pretrained, prefix="visual_backbone."),
    ),
    cls_head=dict(
        type="I3DHead",
        in_channels=512,
        dropout_ratio=0.0,
        average_clips="prob",  # the mean of the clips' softmax
    ),
)
