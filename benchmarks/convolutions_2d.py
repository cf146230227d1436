"""R(2+1)D's factorised convolutions as 2-D ones: other kernels, the same weights and keys."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cmac_mm.models.layers import SafeConv3d


class Conv3dAs2d(SafeConv3d):
    """A convolution over space alone or over time alone, computed by ``conv2d``.

    Over space each frame is a sample: `(B, C, T, H, W)` is seen as `(B * T, C, H, W)`; over time
    the picture has T rows and all positions as columns: `(B, C, T, H * W)`. In
    ``channels_last_3d`` both are views, and so are the weights. Others are left as they are.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve ``x`` of shape `(B, C, T, H, W)`."""
        stride, padding = self.stride, self.padding
        if self.groups != 1 or set(self.dilation) != {1} or isinstance(padding, str):
            return super().forward(x)
        if (self.kernel_size[0], stride[0], padding[0]) == (1, 1, 0):
            frames = x.transpose(1, 2).flatten(0, 1)
            out = F.conv2d(frames, self.weight.squeeze(2), self.bias, stride[1:], padding[1:])
            return out.unflatten(0, (len(x), -1)).transpose(1, 2)
        if (self.kernel_size[1:], stride[1:], padding[1:]) == ((1, 1), (1, 1), (0, 0)):
            weight = self.weight.squeeze(4)
            out = F.conv2d(x.flatten(3), weight, self.bias, (stride[0], 1), (padding[0], 0))
            return out.unflatten(3, x.shape[3:])
        return super().forward(x)


def use_2d(model: nn.Module) -> nn.Module:
    """Let all factorised 3-D convolutions of a model be computed as 2-D ones.

    Args:
        model (nn.Module): The model, changed in place; parameters and keys stay.
    """
    for module in model.modules():
        if type(module) is SafeConv3d:
            module.__class__ = Conv3dAs2d
    return model
