"""Neck of CMAC: filters of both modalities, and guided attention."""

from dataclasses import dataclass
from functools import cached_property

import torch.nn as nn
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from ..layers import SafeConv3d, global_average_pool
from .pyramid_correlation import NORMS, pyramid_correlation


@dataclass(frozen=True)
class Filters:
    """Filters of both modalities, and the attention that they guide.

    Attributes:
        kernels (dict[str, Tensor]): Filters kappa `(B, channels)` of each modality (CMAC, eq. 3).
        filtered (dict[str, Tensor]): Outputs of the filter branches `(B, channels, T, H, W)` and
            `(B, channels, F, T)`.
        norm (str): See :func:`correlation_response`.
        num_scales (int): See :func:`pyramid_correlation`.
    """

    kernels: dict[str, Tensor]
    filtered: dict[str, Tensor]
    norm: str
    num_scales: int

    @cached_property
    def guided(self) -> dict[str, Tensor]:
        """Attention in each modality, guided by the other's filter (eq. 4).

        `(B, T, H, W)` or `(B, F, T)`; empty with one modality alone. Computed when first asked for.
        """
        if len(self.kernels) == 1:
            return {}
        return {
            name: pyramid_correlation(
                self.kernels[guide], self.filtered[name], self.norm, self.num_scales
            )
            for name, guide in (("visual", "audio"), ("audio", "visual"))
        }


@MODELS.register_module()
class CMACNeck(BaseModule):
    """Filter branches g_v, g_a (CMAC, eq. 3) and pyramid correlation filtering (eq. 4).

    Each branch is a 1x1 convolution with batch norm, without activation; a filter kappa is the
    global average of its output.

    Args:
        visual_channels (int, optional): Channels of the visual feature map; None for a model
            without pictures. Defaults to 512.
        audio_channels (int, optional): Channels of the audio feature map; None for a model
            without sound. Defaults to 512.
        channels (int): Channels of the filters. Defaults to 512.
        norm (str): Normalisation of the response: ``'cosine'``, ``'softmax'`` or ``'none'``.
            Defaults to ``'cosine'``.
        num_scales (int): Scales of the pyramid, 1 to 3 in the paper's table 2. Defaults to 2.
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
        self.channels = {
            name: width
            for name, width in (("visual", visual_channels), ("audio", audio_channels))
            if width is not None
        }
        if visual_channels is not None:
            self.visual_filter = nn.Sequential(
                SafeConv3d(visual_channels, channels, 1, bias=False), nn.BatchNorm3d(channels)
            )
        if audio_channels is not None:
            self.audio_filter = nn.Sequential(
                nn.Conv2d(audio_channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
            )

    def branch(self, modality: str) -> nn.Sequential:
        """Get the filter branch of ``'visual'`` or ``'audio'``."""
        return getattr(self, f"{modality}_filter")

    def forward(self, maps: dict[str, Tensor]) -> Filters:
        """Compute the filters of the feature maps.

        Args:
            maps (dict[str, Tensor]): Feature maps `(B, C, T, H, W)` under ``visual`` and
                `(B, C, F, T)` under ``audio``, or one of them.
        """
        filtered = {name: self.branch(name)(feature_map) for name, feature_map in maps.items()}
        kernels = {name: global_average_pool(x) for name, x in filtered.items()}
        return Filters(kernels, filtered, self.norm, self.num_scales)
