"""Classification head of AVID."""

from mmaction.models import I3DHead
from mmaction.registry import MODELS
from torch import nn


@MODELS.register_module()
class MaxPoolHead(I3DHead):
    """MMAction2's ``I3DHead`` with global max pooling, which AVID's R(2+1)D ends with.

    Args:
        num_classes (int): Classes.
        in_channels (int): Channels of the feature map `(B, C, T, H, W)`.
        **kwargs: Of ``I3DHead``: ``dropout_ratio``, ``average_clips`` and others.
    """

    def __init__(self, num_classes: int, in_channels: int, **kwargs: object) -> None:
        super().__init__(num_classes, in_channels, **kwargs)
        self.avg_pool = nn.AdaptiveMaxPool3d(1)
