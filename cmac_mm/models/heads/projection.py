"""Projection heads: from filter or feature to embedding."""

import torch.nn as nn


class ProjectionHead(nn.Sequential):
    """Projection head: linear layers with ReLU, and optional batch norm.

    Two layers are MoCo v2's head, three AVID's; two with batch norm and no hidden bias GDT's.

    Args:
        in_channels (int): Input length.
        hidden_channels (int): Length of what is between the layers.
        out_channels (int): Length of the embedding.
        hidden_norm (bool): Batch norm before the ReLU. Defaults to False.
        out_norm (bool): Batch norm without scale and shift on the output. Defaults to False.
        num_layers (int): Linear layers. Defaults to 2.
        hidden_bias (bool): Biases of all layers but the last. Defaults to True.
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        hidden_norm: bool = False,
        out_norm: bool = False,
        num_layers: int = 2,
        hidden_bias: bool = True,
    ) -> None:
        layers: list[nn.Module] = []
        for _ in range(num_layers - 1):
            layers.append(nn.Linear(in_channels, hidden_channels, bias=hidden_bias))
            if hidden_norm:
                layers.append(nn.BatchNorm1d(hidden_channels))
            layers.append(nn.ReLU(inplace=True))
            in_channels = hidden_channels
        layers.append(nn.Linear(in_channels, out_channels))
        if out_norm:
            layers.append(nn.BatchNorm1d(out_channels, affine=False))
        super().__init__(*layers)
