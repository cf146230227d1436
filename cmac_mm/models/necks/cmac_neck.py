"""CMAC's neck: filters of both modalities, and the attention they guide in each other."""

import torch.nn as nn
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from ..layers import SafeConv3d
from .pyramid_correlation import NORMS, pyramid_correlation


@MODELS.register_module()
class CMACNeck(BaseModule):
    """Filter branches g_v, g_a (CMAC, eq. 3) and pyramid correlation filtering (eq. 4).

    Each branch is a 1x1 convolution with batch norm, without activation; a filter kappa is the
    global average of its output.

    Args:
        visual_channels (int, optional): Channels of the visual feature map; None for a model
            without pictures. Default: 512.
        audio_channels (int, optional): Channels of the audio feature map; None for a model
            without sound. Default: 512.
        channels (int): Channels of the filters. Default: 512.
        norm (str): Normalisation of the response: ``'cosine'``, ``'softmax'`` or ``'none'``.
            Default: ``'cosine'``.
        num_scales (int): Scales of the pyramid, 1 to 3 in the paper's table 2. Default: 2.
        init_cfg (dict | list, optional): MMEngine initialisation.

    Raises:
        ValueError: If ``norm`` is unknown or ``num_scales`` below 1.
    """

    def __init__(
        self,
        visual_channels: int | None = 512,
        audio_channels: int | None = 512,
        channels: int = 512,
        norm: str = "cosine",
        num_scales: int = 2,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if norm not in NORMS:
            raise ValueError(f"norm must be one of {NORMS}, got {norm!r}")
        if num_scales < 1:
            raise ValueError(f"num_scales must be at least 1, got {num_scales}")
        self.norm = norm
        self.num_scales = num_scales
        if visual_channels is not None:
            self.visual_filter = nn.Sequential(
                SafeConv3d(visual_channels, channels, 1, bias=False), nn.BatchNorm3d(channels)
            )
        if audio_channels is not None:
            self.audio_filter = nn.Sequential(
                nn.Conv2d(audio_channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, kernel: Tensor, feature_map: Tensor) -> Tensor:
        """Attention in one modality, guided by the filter of the other (eq. 4).

        Args:
            kernel (Tensor): Filter of the guiding modality `(B, channels)`.
            feature_map (Tensor): Output of the filter branch of the guided modality,
                `(B, channels, T, H, W)` or `(B, channels, F, T)`.

        Returns:
            Tensor: Guided attention `(B, T, H, W)` or `(B, F, T)`.
        """
        return pyramid_correlation(kernel, feature_map, self.norm, self.num_scales)
