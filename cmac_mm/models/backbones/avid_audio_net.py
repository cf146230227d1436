"""Audio encoder of AVID."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor


@MODELS.register_module()
class AVIDAudioNet(BaseModule):
    """Nine plain convolutions with batch norm and ReLU (Morgado et al. 2021).

    A 7x7 convolution of stride 2, then four blocks of two 3x3 convolutions each. Key names are
    those of AVID-CMA's ``audio_model``, whose weights see time before frequency. This project's
    spectrograms are frequency before time, so axes are swapped on the way in and out: a
    `(B, 1, 257, 200)` spectrogram gives a `(B, 512, 17, 13)` map.

    Args:
        base_channels (int): Channels of the first block, doubled at each further one; below 64
            for small runs. Defaults to 64.
        strides (Sequence[int]): Stride of each block; (1, 2, 2, 1) in AVID's ablations. Defaults to
            (2, 2, 2, 1).
        out_indices (Sequence[int]): Blocks to return, counted from 0. Defaults to (3,), the last.
        init_cfg (dict | list, optional): Further MMEngine initialisation, such as
            ``PretrainedEncoder``, after Kaiming (fan out) for convolutions. Defaults to None.

    Raises:
        ValueError: If there are not four strides, or a block to return does not exist.
    """

    memory_format = torch.channels_last

    def __init__(
        self,
        base_channels: int = 64,
        strides: Sequence[int] = (2, 2, 2, 1),
        out_indices: Sequence[int] = (3,),
        init_cfg: dict | list | None = None,
    ) -> None:
        if len(strides) != 4 or not out_indices or not set(out_indices) <= {0, 1, 2, 3}:
            raise ValueError(
                f"expected four strides, and out_indices from 0 to 3, got {tuple(strides)} and "
                f"{tuple(out_indices)}"
            )
        further = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
        super().__init__(
            [
                dict(type="Kaiming", layer="Conv2d", mode="fan_out", nonlinearity="relu"),
                dict(type="Constant", layer="BatchNorm2d", val=1),
                *further,
            ]
        )
        self.out_channels = base_channels * 8
        self.out_indices = tuple(out_indices)
        self.conv1 = nn.Sequential(
            nn.Conv2d(1, base_channels, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(base_channels),
            nn.ReLU(inplace=True),
        )
        channels = base_channels
        for index, stride in enumerate(strides):
            planes = base_channels * 2**index
            self.add_module(f"block{index + 1}", _make_block(channels, planes, stride))
            channels = planes
        self.to(memory_format=self.memory_format)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Encode spectrograms.

        Args:
            x (Tensor): Spectrograms `(B, 1, F, T)`, frequency before time.

        Returns:
            Tensor | tuple[Tensor, ...]: The feature map `(B, C, F', T')` of the block in
            ``out_indices``, or a tuple of maps if it names several.
        """
        x = x.transpose(2, 3).contiguous(memory_format=self.memory_format)
        x = self.conv1(x)
        outs = []
        for index in range(4):
            x = getattr(self, f"block{index + 1}")(x)
            if index in self.out_indices:
                outs.append(x.transpose(2, 3))
        return outs[0] if len(outs) == 1 else tuple(outs)


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
