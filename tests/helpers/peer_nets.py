"""Other projects' networks, written out in torch.nn.functional over the keys of their files."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]


def sub(weights: Weights, prefix: str) -> Weights:
    """The weights under a prefix; running statistics are updated in place, so shared."""
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def bn(x: Tensor, w: Weights, key: str, train: bool, eps: float = 1e-5) -> Tensor:
    mean, var = w[f"{key}.running_mean"], w[f"{key}.running_var"]
    return F.batch_norm(x, mean, var, w[f"{key}.weight"], w[f"{key}.bias"], train, 0.1, eps)


def r2plus1d(x: Tensor, w: Weights, train: bool, eps: float = 1e-5) -> Tensor:
    """torchvision's and, with another eps, VMZ's."""
    x = F.conv3d(x, w["stem.0.weight"], stride=(1, 2, 2), padding=(0, 3, 3))
    x = F.conv3d(F.relu(bn(x, w, "stem.1", train, eps)), w["stem.3.weight"], padding=(1, 0, 0))
    x = F.relu(bn(x, w, "stem.4", train, eps))
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = x
            for number, step in ((1, stride), (2, 1)):
                conv = f"{name}.conv{number}"
                y = F.conv3d(y, w[f"{conv}.0.0.weight"], stride=(1, step, step), padding=(0, 1, 1))
                y = F.relu(bn(y, w, f"{conv}.0.1", train, eps))
                y = F.conv3d(y, w[f"{conv}.0.3.weight"], stride=(step, 1, 1), padding=(1, 0, 0))
                y = bn(y, w, f"{conv}.1", train, eps)
                y = F.relu(y) if number == 1 else y
            if f"{name}.downsample.0.weight" in w:
                x = F.conv3d(x, w[f"{name}.downsample.0.weight"], stride=stride)
                x = bn(x, w, f"{name}.downsample.1", train, eps)
            x = F.relu(x + y)
    return x


def avid_video(x: Tensor, w: Weights, train: bool) -> Tensor:
    x = F.conv3d(x, w["conv1.0.weight"], stride=(1, 2, 2), padding=(1, 3, 3))
    x = F.relu(bn(x, w, "conv1.1", train))
    x = F.max_pool3d(x, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
    for stage in (2, 3, 4, 5):
        for block in (0, 1):
            name = f"conv{stage}x.{block}"
            s = 2 if stage > 2 and block == 0 else 1
            y = F.conv3d(x, w[f"{name}.spt_conv1.weight"], stride=(1, s, s), padding=(0, 1, 1))
            y = F.relu(bn(y, w, f"{name}.spt_bn1", train))
            y = F.conv3d(y, w[f"{name}.tmp_conv1.weight"], stride=(s, 1, 1), padding=(1, 0, 0))
            y = F.relu(bn(y, w, f"{name}.tmp_bn1", train))
            y = F.conv3d(y, w[f"{name}.spt_conv2.weight"], padding=(0, 1, 1))
            y = F.relu(bn(y, w, f"{name}.spt_bn2", train))
            y = F.conv3d(y, w[f"{name}.tmp_conv2.weight"], padding=(1, 0, 0))
            if f"{name}.res_conv.weight" in w:
                x = F.conv3d(x, w[f"{name}.res_conv.weight"], stride=s)
            x = F.relu(bn(x + y, w, f"{name}.out_bn", train))
    return x


def avid_audio(x: Tensor, w: Weights, train: bool) -> Tensor:
    """Over time before frequency."""
    x = F.relu(bn(F.conv2d(x, w["conv1.0.weight"], stride=2, padding=3), w, "conv1.1", train))
    for block, stride in ((1, 2), (2, 2), (3, 2), (4, 1)):
        for number, step in ((1, stride), (2, 1)):
            x = F.conv2d(x, w[f"block{block}.conv{number}.weight"], stride=step, padding=1)
            x = F.relu(bn(x, w, f"block{block}.bn{number}", train))
    return x


def resnet9(x: Tensor, w: Weights, train: bool) -> Tensor:
    """Over frequency before time."""
    x = F.relu(bn(F.conv2d(x, w["conv1.weight"], stride=2, padding=3), w, "bn1", train))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for stage in (1, 2, 3, 4):
        name = f"layer{stage}.0"
        stride = 1 if stage == 1 else 2
        y = F.conv2d(x, w[f"{name}.conv1.weight"], stride=stride, padding=1)
        y = F.conv2d(F.relu(bn(y, w, f"{name}.bn1", train)), w[f"{name}.conv2.weight"], padding=1)
        y = bn(y, w, f"{name}.bn2", train)
        if f"{name}.downsample.0.weight" in w:
            x = F.conv2d(x, w[f"{name}.downsample.0.weight"], stride=stride)
            x = bn(x, w, f"{name}.downsample.1", train)
        x = F.relu(x + y)
    return x


def avid_head(x: Tensor, w: Weights, _train: bool) -> Tensor:
    """Rows to unit vectors."""
    x = F.relu(F.linear(x, w["projection.0.weight"], w["projection.0.bias"]))
    x = F.relu(F.linear(x, w["projection.2.weight"], w["projection.2.bias"]))
    return F.normalize(F.linear(x, w["projection.4.weight"], w["projection.4.bias"]), dim=1)


def gdt_head(x: Tensor, w: Weights, train: bool) -> Tensor:
    """Rows to unit vectors; without dropout."""
    x = F.linear(x, w["block_forward.2.weight"])
    x = F.relu(bn(x, w, "block_forward.4", train))
    return F.normalize(F.linear(x, w["block_forward.8.weight"], w["block_forward.8.bias"]), dim=1)
