"""Audio encoders ResNet-9 and ResNet-18."""

from collections.abc import Sequence

import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor
from torchvision.models.resnet import BasicBlock

from ..layers import run_checkpointed

_STAGE_BLOCKS = {9: (1, 1, 1, 1), 18: (2, 2, 2, 2)}


@MODELS.register_module()
class AudioResNet(BaseModule):
    """ResNet (He et al. 2016) with a one-channel stem: depth 9 in CMAC and GDT, 18 in XDC.

    A `(B, 1, 257, 100)` log-mel spectrogram, frequency before time, gives a `(B, 512, 9, 4)` map.
    Key names are torchvision's.

    Args:
        depth (int): 9 (one block a stage) or 18 (two). Defaults to 9.
        base_channels (int): Channels of the first stage, doubled at each further one; below 64
            for small runs. Defaults to 64.
        strides (Sequence[int]): Stride of each stage. Defaults to (1, 2, 2, 2).
        out_indices (Sequence[int]): Stages to return. Defaults to (3,), the last.
        with_cp (bool): Gradient checkpointing: keep only the residual blocks' inputs for the
            backward pass and run the blocks again there. Less memory, more time. Defaults to False.
        init_cfg (dict | list, optional): Further MMEngine initialisation, such as
            ``PretrainedEncoder``, after Kaiming (fan out) for convolutions, as torchvision has it.
            Defaults to None.

    Raises:
        ValueError: If an argument is outside the values given above.
    """

    memory_format = torch.channels_last

    def __init__(
        self,
        depth: int = 9,
        base_channels: int = 64,
        strides: Sequence[int] = (1, 2, 2, 2),
        out_indices: Sequence[int] = (3,),
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        if depth not in _STAGE_BLOCKS:
            raise ValueError(f"depth must be one of {sorted(_STAGE_BLOCKS)}, got {depth}")
        if len(strides) != 4:
            raise ValueError(f"strides needs 4 values, got {strides}")
        if not out_indices or not set(out_indices) <= {0, 1, 2, 3}:
            raise ValueError(f"out_indices must be stages from 0 to 3, got {tuple(out_indices)}")
        further = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
        super().__init__(
            [
                dict(type="Kaiming", layer="Conv2d", mode="fan_out", nonlinearity="relu"),
                dict(type="Constant", layer="BatchNorm2d", val=1),
                *further,
            ]
        )
        self.out_indices = tuple(out_indices)
        self.with_cp = with_cp
        self.out_channels = base_channels * 8

        self.conv1 = nn.Conv2d(1, base_channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = base_channels
        for index, (blocks, stride) in enumerate(zip(_STAGE_BLOCKS[depth], strides, strict=True)):
            planes = base_channels * 2**index
            self.add_module(f"layer{index + 1}", self._make_stage(channels, planes, blocks, stride))
            channels = planes
        self.to(memory_format=self.memory_format)

    @staticmethod
    def _make_stage(
        in_channels: int, out_channels: int, num_blocks: int, stride: int
    ) -> nn.Sequential:
        downsample = None
        if stride != 1 or in_channels != out_channels:
            downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        return nn.Sequential(
            BasicBlock(in_channels, out_channels, stride, downsample),
            *(BasicBlock(out_channels, out_channels) for _ in range(num_blocks - 1)),
        )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Encode spectrograms.

        Args:
            x (Tensor): Spectrograms `(B, 1, F, T)`, frequency before time.

        Returns:
            Tensor | tuple[Tensor, ...]: The feature map `(B, C, F', T')` of the stage in
            ``out_indices``, or a tuple of maps if it names several.
        """
        x = x.contiguous(memory_format=self.memory_format)
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        outs = []
        for index in range(4):
            for block in getattr(self, f"layer{index + 1}"):
                saving = self.with_cp and torch.is_grad_enabled()
                x = run_checkpointed(block, x) if saving else block(x)
            if index in self.out_indices:
                outs.append(x)
        return outs[0] if len(outs) == 1 else tuple(outs)
