"""Layers shared by several networks."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


class SafeConv3d(nn.Conv3d):
    """`torch.nn.Conv3d` that stays right in bfloat16 on a CPU.

    On CPUs (torch 2.11, AVX512-BF16) the weight gradient of a bfloat16 ``Conv3d`` is wrong or NaN
    when the input has more than one frame but fewer than the kernel covers. The last stage of
    R(2+1)D-18 meets that case at 16 input frames, the saliency head at 2 feature frames. There,
    and nowhere else, this layer computes in float32.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` of shape `(B, C, T, H, W)`."""
        low_precision = x.dtype == torch.bfloat16 or (
            torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        )
        if x.device.type == "cpu" and low_precision and 1 < x.shape[2] < self.kernel_size[0]:
            with torch.autocast("cpu", enabled=False):
                bias = None if self.bias is None else self.bias.float()
                out = F.conv3d(
                    x.float(),
                    self.weight.float(),
                    bias,
                    self.stride,
                    self.padding,
                    self.dilation,
                    self.groups,
                )
            return out.bfloat16()
        return super().forward(x)


def global_average_pool(feature_map: Tensor) -> Tensor:
    """Mean over all positions: `(B, C, ...)` to `(B, C)`."""
    return feature_map.flatten(2).mean(dim=2)
