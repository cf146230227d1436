"""Projection heads: filter or feature vector in, embedding out."""

import torch.nn as nn


class ProjectionHead(nn.Sequential):
    """Linear, ReLU, linear (MoCo v2's head), with batch norm where asked for.

    Args:
        in_channels (int): Input length.
        hidden_channels (int): Hidden length.
        out_channels (int): Length of the embedding.
        hidden_norm (bool): Batch norm before the ReLU. Default: False.
        out_norm (bool): Batch norm without scale and shift on the output. Default: False.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        hidden_norm: bool = False,
        out_norm: bool = False,
    ) -> None:
        layers: list[nn.Module] = [nn.Linear(in_channels, hidden_channels)]
        if hidden_norm:
            layers.append(nn.BatchNorm1d(hidden_channels))
        layers += [nn.ReLU(inplace=True), nn.Linear(hidden_channels, out_channels)]
        if out_norm:
            layers.append(nn.BatchNorm1d(out_channels, affine=False))
        super().__init__(*layers)
