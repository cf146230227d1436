"""Saliency heads: attention predicted from one modality alone (CMAC, eq. 5)."""

import torch.nn as nn
from torch import Tensor

from ..layers import SafeConv3d


class SaliencyHead(nn.Module):
    """3x3(x3) convolution, batch norm, ReLU, 1x1 convolution, sigmoid (CMAC, eq. 5).

    Args:
        in_channels (int): Channels of the encoder's feature map.
        hidden_channels (int): Channels between the two convolutions.
        num_axes (int): 3 for video maps `(B, C, T, H, W)`, 2 for audio maps `(B, C, F, T)`.
    """

    def __init__(self, in_channels: int, hidden_channels: int, num_axes: int) -> None:
        super().__init__()
        conv = {2: nn.Conv2d, 3: SafeConv3d}[num_axes]
        norm = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[num_axes]
        self.layers = nn.Sequential(
            conv(in_channels, hidden_channels, 3, padding=1, bias=False),
            norm(hidden_channels),
            nn.ReLU(inplace=True),
            conv(hidden_channels, 1, 1),
        )

    def forward(self, feature_map: Tensor) -> Tensor:
        """Predict attention in [0, 1]: `(B, C, *S)` to `(B, *S)`."""
        return self.layers(feature_map).squeeze(1).sigmoid()
