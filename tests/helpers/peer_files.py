"""Files as other projects write them: their keys and shapes, whole or with fewer channels.

Shapes follow from the projects' published facts alone, not from classes of this project.
"""

from __future__ import annotations

import argparse
import collections
from pathlib import Path

import numpy as np
import torch

Layout = dict[str, tuple[int, ...]]
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def norm(key: str, channels: int) -> Layout:
    return {f"{key}.{part}": (channels,) if part != NORM[-1] else () for part in NORM}


def prefixed(prefix: str, layout: dict) -> dict:
    return {prefix + key: value for key, value in layout.items()}


def middle(inputs: int, outputs: int) -> int:
    """Channels between the two halves of a factorised 3x3x3 convolution."""
    return inputs * outputs * 27 // (inputs * 9 + 3 * outputs)


def r2plus1d_layout(base: int = 64, per_conv: bool = False) -> Layout:
    """torchvision's R(2+1)D-18; with ``per_conv`` VMZ's, as XDC has it."""
    stem = 45 * base // 64
    layout = {"stem.0.weight": (stem, 3, 1, 7, 7), **norm("stem.1", stem)}
    layout |= {"stem.3.weight": (base, stem, 3, 1, 1), **norm("stem.4", base)}
    channels = base
    for stage in range(4):
        planes = base * 2**stage
        for block in range(2):
            name = f"layer{stage + 1}.{block}"
            of_block = middle(channels, planes)
            for number, inputs in ((1, channels), (2, planes)):
                mid = middle(inputs, planes) if per_conv else of_block
                layout[f"{name}.conv{number}.0.0.weight"] = (mid, inputs, 1, 3, 3)
                layout |= norm(f"{name}.conv{number}.0.1", mid)
                layout[f"{name}.conv{number}.0.3.weight"] = (planes, mid, 3, 1, 1)
                layout |= norm(f"{name}.conv{number}.1", planes)
            if channels != planes:
                layout[f"{name}.downsample.0.weight"] = (planes, channels, 1, 1, 1)
                layout |= norm(f"{name}.downsample.1", planes)
            channels = planes
    return layout


def avid_video_layout(base: int = 64) -> Layout:
    layout = {"conv1.0.weight": (base, 3, 3, 7, 7), **norm("conv1.1", base)}
    channels = base
    for stage in range(4):
        planes = base * 2**stage
        for block in range(2):
            name = f"conv{stage + 2}x.{block}"
            for number, inputs in ((1, channels), (2, planes)):
                layout[f"{name}.spt_conv{number}.weight"] = (planes, inputs, 1, 3, 3)
                layout |= norm(f"{name}.spt_bn{number}", planes)
                layout[f"{name}.tmp_conv{number}.weight"] = (planes, planes, 3, 1, 1)
                if number == 1:
                    layout |= norm(f"{name}.tmp_bn1", planes)
            layout |= norm(f"{name}.out_bn", planes)
            if channels != planes:
                layout[f"{name}.res_conv.weight"] = (planes, channels, 1, 1, 1)
            channels = planes
    return layout


def avid_audio_layout(base: int = 64) -> Layout:
    layout = {"conv1.0.weight": (base, 1, 7, 7), **norm("conv1.1", base)}
    channels = base
    for block in range(4):
        planes = base * 2**block
        for number, inputs in ((1, channels), (2, planes)):
            layout[f"block{block + 1}.conv{number}.weight"] = (planes, inputs, 3, 3)
            layout |= norm(f"block{block + 1}.bn{number}", planes)
        channels = planes
    return layout


def resnet9_layout(base: int = 64, with_fc: bool = False) -> Layout:
    layout = {"conv1.weight": (base, 1, 7, 7), **norm("bn1", base)}
    channels = base
    for stage in range(4):
        planes = base * 2**stage
        name = f"layer{stage + 1}.0"
        for number, inputs in ((1, channels), (2, planes)):
            layout[f"{name}.conv{number}.weight"] = (planes, inputs, 3, 3)
            layout |= norm(f"{name}.bn{number}", planes)
        if channels != planes:
            layout[f"{name}.downsample.0.weight"] = (planes, channels, 1, 1)
            layout |= norm(f"{name}.downsample.1", planes)
        channels = planes
    if with_fc:
        layout |= {"fc.weight": (1000, channels), "fc.bias": (1000,)}
    return layout


def avid_layout(base: int = 64) -> Layout:
    width = 8 * base
    layout = prefixed("video_model.", avid_video_layout(base))
    layout |= prefixed("audio_model.", avid_audio_layout(base))
    for kind in ("video", "audio"):
        for index, outputs in ((0, width), (2, width), (4, width // 4)):
            layout[f"{kind}_proj.projection.{index}.weight"] = (outputs, width)
            layout[f"{kind}_proj.projection.{index}.bias"] = (outputs,)
    return prefixed("module.", layout)


def mlp_layout(name: str, width: int) -> Layout:
    return {
        f"{name}.block_forward.2.weight": (width, width),
        **norm(f"{name}.block_forward.4", width),
        f"{name}.block_forward.8.weight": (width // 2, width),
        f"{name}.block_forward.8.bias": (width // 2,),
    }


def gdt_layout(base: int = 64) -> Layout:
    layout = prefixed("video_network.base.", r2plus1d_layout(base))
    layout |= prefixed("audio_network.base.", resnet9_layout(base, with_fc=True))
    return layout | mlp_layout("mlp_v", 8 * base) | mlp_layout("mlp_a", 8 * base)


def selavi_layout(base: int = 64) -> Layout:
    layout = prefixed("video_network.base.", r2plus1d_layout(base))
    layout |= prefixed("audio_network.base.", resnet9_layout(base))
    for head in range(10):
        layout |= mlp_layout(f"mlp_v{head}", 8 * base) | mlp_layout(f"mlp_a{head}", 8 * base)
    return prefixed("module.", layout)


def torchvision_layout(base: int = 64) -> Layout:
    return r2plus1d_layout(base) | {"fc.weight": (400, 8 * base), "fc.bias": (400,)}


def xdc_layout(base: int = 64) -> Layout:
    return r2plus1d_layout(base, per_conv=True)


LAYOUTS = dict(
    torchvision=torchvision_layout,
    xdc=xdc_layout,
    avid=avid_layout,
    gdt=gdt_layout,
    selavi=selavi_layout,
)


def random_weights(layout: Layout, seed: int = 0) -> dict[str, torch.Tensor]:
    """Of a trained network's size, with batch norm statistics that are not 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for key, shape in layout.items():
        value = torch.empty(shape)
        if key.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif key.endswith("running_var"):
            value.uniform_(0.5, 2, generator=generator)
        elif value.ndim > 1:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
        else:
            value.uniform_(-0.3, 1, generator=generator)
        weights[key] = value
    return weights


def constant_weights(layout: Layout) -> dict[str, torch.Tensor]:
    """One value a tensor: in a file they take no more room than that."""
    return {
        key: torch.tensor(7)
        if key.endswith("num_batches_tracked")
        else torch.tensor([0.01 + index % 10 / 1000]).expand(shape)
        for index, (key, shape) in enumerate(layout.items())
    }


def envelope(source: str, weights: dict, extra: dict | None = None) -> dict:
    """What stands around the weights in a project's file."""
    step = torch.optim.SGD([torch.zeros(3, requires_grad=True)], lr=0.1, momentum=0.9)
    step.param_groups[0]["params"][0].grad = torch.ones(3)
    step.step()  # its momentum is in the schedule's file too, in a defaultdict
    if source == "avid":
        bank = {
            "nce_average.view1_mem": torch.zeros(4, 128),
            "nce_average.view2_mem": torch.zeros(4, 128),
            "criterion.avg_exp_score": torch.ones(1),
        }
        return dict(epoch=3, model=weights, train_criterion=bank, optimizer=step.state_dict())
    if source == "gdt":
        schedule = torch.optim.lr_scheduler.MultiStepLR(step, [3, 6])
        args = argparse.Namespace(lr=0.1, tags=collections.defaultdict(dict, a={}))
        content = dict(model=weights, optimizer=step.state_dict(), lr_scheduler=schedule, epoch=2)
        return {**content, "args": args, **(extra or {})}
    if source == "selavi":
        dist = [torch.rand(8, 1, dtype=torch.float64)]
        labels = torch.zeros(5, 10, dtype=torch.long)
        return dict(epoch=1, dist=dist, model=weights, optimizer={}, selflabels=labels)
    return weights


def write_full(source: str, path: Path) -> Path:
    """A small file of the full layout."""
    torch.save(envelope(source, constant_weights(LAYOUTS[source]())), path)
    return path


def write_thin(source: str, path: Path, base: int = 8) -> dict[str, torch.Tensor]:
    """A file with ``base`` in place of 64 channels; returns the weights, in float64."""
    weights = random_weights(LAYOUTS[source](base))
    torch.save(envelope(source, weights), path)
    return {
        key.removeprefix("module."): value.double() if value.is_floating_point() else value.clone()
        for key, value in weights.items()
    }


def write_statistics(folder: Path, bands: int = 257, name: str | None = None) -> Path:
    """Statistics of spectrograms as AVID's authors publish them, of 257 bands or 129."""
    rng = np.random.default_rng(0)
    path = folder / (name or "audio-spectDB-24k-513-norm-stats.npz")
    mean, std = rng.uniform(-40, 0, bands), rng.uniform(10, 20, bands)
    np.savez(path, mean=mean.astype(np.float32), std=std.astype(np.float32))
    return path
