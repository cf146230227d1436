"""Video encoder R(2+1)D-18, in three variants."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor
from torchvision.models.video.resnet import BasicBlock

from ..layers import SafeConv3d, run_checkpointed

_STEM_MID_CHANNELS = 45  # for 64 channels, as torchvision and Caffe2 have it


class Conv2Plus1D(nn.Sequential):
    """3x3x3 convolution factorised into 1x3x3, batch norm, ReLU and 3x1x1 (Tran et al. 2018).

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels.
        mid_channels (int): Channels between the two convolutions.
        stride (int): Stride in time and space. Defaults to 1.
    """

    def __init__(
        self, in_channels: int, out_channels: int, mid_channels: int, stride: int = 1
    ) -> None:
        super().__init__(
            SafeConv3d(
                in_channels,
                mid_channels,
                (1, 3, 3),
                stride=(1, stride, stride),
                padding=(0, 1, 1),
                bias=False,
            ),
            nn.BatchNorm3d(mid_channels),
            nn.ReLU(inplace=True),
            SafeConv3d(
                mid_channels,
                out_channels,
                (3, 1, 1),
                stride=(stride, 1, 1),
                padding=(1, 0, 0),
                bias=False,
            ),
        )


def _conv_caffe2(
    in_channels: int, out_channels: int, _mid_of_block: int, stride: int = 1
) -> Conv2Plus1D:
    """Caffe2 chooses the middle channels for each convolution, torchvision once for a block."""
    mid_channels = in_channels * out_channels * 27 // (in_channels * 9 + 3 * out_channels)
    return Conv2Plus1D(in_channels, out_channels, mid_channels, stride)


class AVIDBlock(nn.Module):
    """Residual block of AVID's R(2+1)D: one batch norm after the sum, bare 1x1x1 shortcut.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels, and channels of all convolutions inside.
        stride (int): Stride in time and space of the first factorised convolution. Defaults to 1.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        spatial = partial(SafeConv3d, kernel_size=(1, 3, 3), padding=(0, 1, 1), bias=False)
        temporal = partial(SafeConv3d, kernel_size=(3, 1, 1), padding=(1, 0, 0), bias=False)
        self.spt_conv1 = spatial(in_channels, out_channels, stride=(1, stride, stride))
        self.spt_bn1 = nn.BatchNorm3d(out_channels)
        self.tmp_conv1 = temporal(out_channels, out_channels, stride=(stride, 1, 1))
        self.tmp_bn1 = nn.BatchNorm3d(out_channels)
        self.spt_conv2 = spatial(out_channels, out_channels)
        self.spt_bn2 = nn.BatchNorm3d(out_channels)
        self.tmp_conv2 = temporal(out_channels, out_channels)
        self.out_bn = nn.BatchNorm3d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.res_conv = None
        if stride != 1 or in_channels != out_channels:
            self.res_conv = SafeConv3d(in_channels, out_channels, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C_in, T, H, W)` to `(B, C_out, T', H', W')`."""
        shortcut = x if self.res_conv is None else self.res_conv(x)
        x = self.relu(self.spt_bn1(self.spt_conv1(x)))
        x = self.relu(self.tmp_bn1(self.tmp_conv1(x)))
        x = self.relu(self.spt_bn2(self.spt_conv2(x)))
        return self.relu(self.out_bn(self.tmp_conv2(x) + shortcut))


@MODELS.register_module()
class R2Plus1D(BaseModule):
    """R(2+1)D-18 (Tran et al. 2018, "A Closer Look at Spatiotemporal Convolutions").

    Computes in ``channels_last_3d``, whatever the memory format of its input.

    ===============  ========================================  ===========================
    ``variant``      middle channels                           state dict agrees with
    ===============  ========================================  ===========================
    ``torchvision``  one value a block                         torchvision, GDT, SeLaVi
    ``caffe2``       one value a convolution, batch norm 1e-3  VMZ, XDC
    ``avid``         equal to the output channels; 3x7x7 stem  AVID-CMA's ``video_model``
                     with max-pool; one batch norm after the
                     sum
    ===============  ========================================  ===========================

    With the default strides a `(B, 3, 32, 128, 128)` clip gives a `(B, 512, 4, 8, 8)` map, half as
    high and wide with ``avid``.

    Args:
        variant (str): ``'torchvision'``, ``'caffe2'`` or ``'avid'``. Defaults to ``'torchvision'``.
        depth (int): 18, two residual blocks a stage, or 10, one (AVID's ablations). Defaults to 18.
        base_channels (int): Channels of the first stage, doubled at each further one; below 64
            for small runs. Defaults to 64.
        stage_blocks (Sequence[int], optional): Residual blocks a stage, fewer for small runs.
            Defaults to those of ``depth``.
        strides (Sequence[int]): Stride in time and space of each stage. Defaults to (1, 2, 2, 2).
        out_indices (Sequence[int]): Stages to return. Defaults to (3,), the last.
        stem_pool (bool): The max-pool of ``avid``'s stem; without it AVID's ablations are done. The
            other variants have none. Defaults to True.
        with_cp (bool): Gradient checkpointing: keep only the residual blocks' inputs for the
            backward pass and run the blocks again there. Less memory, more time. Defaults to False.
        init_cfg (dict | list, optional): Further MMEngine initialisation, such as
            ``PretrainedEncoder``, after Kaiming (fan out) for convolutions, as torchvision has it.
            Defaults to None.

    Raises:
        ValueError: If an argument is outside the values given above.
    """

    memory_format = torch.channels_last_3d

    def __init__(
        self,
        variant: str = "torchvision",
        depth: int = 18,
        base_channels: int = 64,
        stage_blocks: Sequence[int] | None = None,
        strides: Sequence[int] = (1, 2, 2, 2),
        out_indices: Sequence[int] = (3,),
        stem_pool: bool = True,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        if variant not in ("torchvision", "caffe2", "avid"):
            raise ValueError(f"variant must be 'torchvision', 'caffe2' or 'avid', got {variant!r}")
        if depth not in (10, 18):
            raise ValueError(f"depth must be 10 or 18, got {depth}")
        stage_blocks = stage_blocks or ((2, 2, 2, 2) if depth == 18 else (1, 1, 1, 1))
        if len(stage_blocks) != 4 or len(strides) != 4:
            raise ValueError(
                f"stage_blocks and strides need 4 values, got {stage_blocks} and {strides}"
            )
        if not out_indices or not set(out_indices) <= {0, 1, 2, 3}:
            raise ValueError(f"out_indices must be stages from 0 to 3, got {tuple(out_indices)}")
        further = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
        super().__init__(
            [
                dict(type="Kaiming", layer="Conv3d", mode="fan_out", nonlinearity="relu"),
                dict(type="Constant", layer="BatchNorm3d", val=1),
                *further,
            ]
        )
        self.out_indices = tuple(out_indices)
        self.with_cp = with_cp
        self.out_channels = base_channels * 8

        stem_name, stem = self._make_stem(variant, base_channels)
        if variant == "avid" and not stem_pool:
            del stem[-1]
        self.add_module(stem_name, stem)
        self._stem_name = stem_name
        self._stage_names = []
        channels = base_channels
        for index, (blocks, stride) in enumerate(zip(stage_blocks, strides, strict=True)):
            planes = base_channels * 2**index
            name = f"conv{index + 2}x" if variant == "avid" else f"layer{index + 1}"
            self.add_module(name, self._make_stage(variant, channels, planes, blocks, stride))
            self._stage_names.append(name)
            channels = planes
        if variant == "caffe2":
            for module in self.modules():
                if isinstance(module, nn.BatchNorm3d):
                    module.eps = 1e-3
        self.to(memory_format=self.memory_format)

    @staticmethod
    def _make_stem(variant: str, channels: int) -> tuple[str, nn.Sequential]:
        if variant == "avid":
            return "conv1", nn.Sequential(
                SafeConv3d(3, channels, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
                nn.BatchNorm3d(channels),
                nn.ReLU(inplace=True),
                nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)),
            )
        mid = max(1, _STEM_MID_CHANNELS * channels // 64)
        return "stem", nn.Sequential(
            SafeConv3d(3, mid, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
            nn.BatchNorm3d(mid),
            nn.ReLU(inplace=True),
            SafeConv3d(mid, channels, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(channels),
            nn.ReLU(inplace=True),
        )

    @staticmethod
    def _make_stage(
        variant: str, in_channels: int, out_channels: int, num_blocks: int, stride: int
    ) -> nn.Sequential:
        if variant == "avid":
            first: nn.Module = AVIDBlock(in_channels, out_channels, stride)
            block: Callable[..., nn.Module] = AVIDBlock
        else:
            conv = _conv_caffe2 if variant == "caffe2" else Conv2Plus1D
            downsample = None
            if stride != 1 or in_channels != out_channels:
                downsample = nn.Sequential(
                    SafeConv3d(in_channels, out_channels, 1, stride=stride, bias=False),
                    nn.BatchNorm3d(out_channels),
                )
            first = BasicBlock(in_channels, out_channels, conv, stride, downsample)
            block = partial(BasicBlock, conv_builder=conv)
        return nn.Sequential(
            first, *(block(out_channels, out_channels) for _ in range(num_blocks - 1))
        )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Encode clips.

        Args:
            x (Tensor): Normalised clips `(B, 3, T, H, W)`.

        Returns:
            Tensor | tuple[Tensor, ...]: The feature map `(B, C, T', H', W')` of the stage in
            ``out_indices``, or a tuple of maps if it names several.
        """
        x = x.contiguous(memory_format=self.memory_format)
        x = getattr(self, self._stem_name)(x)
        outs = []
        for index, name in enumerate(self._stage_names):
            for block in getattr(self, name):
                saving = self.with_cp and torch.is_grad_enabled()
                x = run_checkpointed(block, x) if saving else block(x)
            if index in self.out_indices:
                outs.append(x)
        return outs[0] if len(outs) == 1 else tuple(outs)
