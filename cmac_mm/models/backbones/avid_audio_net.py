"""AVID's audio encoder, nine convolutions."""

from collections import OrderedDict

import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

_STRIDES = (2, 2, 2, 1)


@MODELS.register_module()
class AVIDAudioNet(BaseModule):
    """Nine plain convolutions with batch norm and ReLU (Morgado et al. 2021).

    A 7x7 convolution of stride 2, then four blocks of two 3x3 convolutions each. Key names are
    those of AVID-CMA's ``audio_model``, whose weights see time before frequency. This project's
    spectrograms are frequency before time, so axes are swapped on the way in and out: a
    `(B, 1, 257, 200)` spectrogram gives a `(B, 512, 17, 13)` map.

    Args:
        base_channels (int): Channels of the first block, doubled at each further one; below 64
            for small runs. Default: 64.
        init_cfg (dict | list, optional): Further MMEngine initialisation, such as
            ``PretrainedEncoder``, after Kaiming (fan out) for convolutions. Default: None.
    """

    memory_format = torch.channels_last

    def __init__(self, base_channels: int = 64, init_cfg: dict | list | None = None) -> None:
        further = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
        super().__init__(
            [
                dict(type="Kaiming", layer="Conv2d", mode="fan_out", nonlinearity="relu"),
                dict(type="Constant", layer="BatchNorm2d", val=1),
                *further,
            ]
        )
        self.out_channels = base_channels * 8
        self.conv1 = nn.Sequential(
            nn.Conv2d(1, base_channels, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(base_channels),
            nn.ReLU(inplace=True),
        )
        channels = base_channels
        for index, stride in enumerate(_STRIDES):
            planes = base_channels * 2**index
            self.add_module(f"block{index + 1}", _make_block(channels, planes, stride))
            channels = planes
        self.to(memory_format=self.memory_format)

    def forward(self, x: Tensor) -> Tensor:
        """Encode spectrograms.

        Args:
            x (Tensor): Spectrograms `(B, 1, F, T)`, frequency before time.

        Returns:
            Tensor: The feature map `(B, C, F', T')`.
        """
        x = x.transpose(2, 3).contiguous(memory_format=self.memory_format)
        x = self.conv1(x)
        for index in range(len(_STRIDES)):
            x = getattr(self, f"block{index + 1}")(x)
        return x.transpose(2, 3)


def _make_block(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    def conv(channels: int, stride: int) -> nn.Conv2d:
        return nn.Conv2d(channels, out_channels, 3, stride=stride, padding=1, bias=False)

    return nn.Sequential(
        OrderedDict(
            conv1=conv(in_channels, stride),
            bn1=nn.BatchNorm2d(out_channels),
            relu1=nn.ReLU(inplace=True),
            conv2=conv(out_channels, 1),
            bn2=nn.BatchNorm2d(out_channels),
            relu2=nn.ReLU(inplace=True),
        )
    )
