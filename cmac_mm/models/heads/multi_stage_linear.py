"""Linear classifiers on all stages of an encoder, trained side by side."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class MultiStageLinearHead(BaseModule):
    """Linear probes, one a stage: max-pool, batch norm, linear (AVID, tables 1 and 2).

    Each map is max-pooled to a fixed size, whatever the size of the clip: with the defaults to
    9216, 8192, 9216 and 8192 values. The losses are summed; since no two probes share a weight and
    the encoder is frozen (:class:`FrozenRecognizer3D`), each learns as if it were alone.

    Args:
        num_classes (int): Classes.
        in_channels (Sequence[int]): Channels of each stage. Defaults to (64, 128, 256, 512).
        pool_sizes (Sequence[Sequence[int]]): Frames, height and width that each stage is pooled to,
            for sound frequencies and times. Defaults to ((1, 12, 12), (1, 8, 8), (1, 6, 6),
            (1, 4, 4)).
        init_cfg (dict | list, optional): MMEngine initialisation. Defaults to None, PyTorch's.

    Raises:
        ValueError: If the arguments differ in length.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: Sequence[int] = (64, 128, 256, 512),
        pool_sizes: Sequence[Sequence[int]] = ((1, 12, 12), (1, 8, 8), (1, 6, 6), (1, 4, 4)),
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if len(in_channels) != len(pool_sizes):
            raise ValueError(
                f"in_channels and pool_sizes must be of one length, got {in_channels} and "
                f"{pool_sizes}"
            )
        self.num_classes = num_classes
        self.in_channels = tuple(in_channels)
        self.probes = nn.ModuleList()
        pools = {2: nn.AdaptiveMaxPool2d, 3: nn.AdaptiveMaxPool3d}
        for channels, size in zip(in_channels, pool_sizes, strict=True):
            if len(size) not in pools:
                raise ValueError(f"pool_sizes must have two or three values each, got {size}")
            num_values = channels * math.prod(size)
            self.probes.append(
                nn.Sequential(
                    pools[len(size)](tuple(size)),
                    nn.Flatten(),
                    nn.BatchNorm1d(num_values),
                    nn.Linear(num_values, num_classes),
                )
            )

    def forward(self, feats: Sequence[Tensor], **_: object) -> list[Tensor]:
        """Compute class scores of each stage.

        Args:
            feats (Sequence[Tensor]): Feature maps `(B, C, T, H, W)` or `(B, C, F, T)`, one a stage.

        Returns:
            list[Tensor]: Scores `(B, num_classes)`, one a stage.

        Raises:
            ValueError: If these are not the stages that the head was made for.
        """
        channels = tuple(feat.shape[1] for feat in feats) if isinstance(feats, tuple) else None
        if channels != self.in_channels:
            raise ValueError(
                f"expected maps of {len(self.in_channels)} stages with {self.in_channels} "
                f"channels, got {channels or 'a single map'}: see the backbone's out_indices"
            )
        return [probe(feat) for probe, feat in zip(self.probes, feats, strict=True)]

    def loss(
        self, feats: Sequence[Tensor], data_samples: Sequence[ActionDataSample], **_: object
    ) -> dict[str, Tensor]:
        """Compute cross-entropy and top-1 accuracy of each stage, ``loss_block1`` and so on.

        Args:
            feats (Sequence[Tensor]): Feature maps of B x N clips, N clips a sample.
            data_samples (Sequence[ActionDataSample]): B samples with labels.
        """
        labels = torch.cat([sample.gt_label for sample in data_samples]).to(feats[0].device)
        labels = labels.repeat_interleave(len(feats[0]) // len(labels))
        losses = {}
        for number, scores in enumerate(self(feats), start=1):
            losses[f"loss_block{number}"] = F.cross_entropy(scores, labels)
            losses[f"top1_block{number}"] = (scores.argmax(dim=1) == labels).float().mean()
        return losses

    def predict(
        self, feats: Sequence[Tensor], data_samples: Sequence[ActionDataSample], **_: object
    ) -> Sequence[ActionDataSample]:
        """Set ``block_scores``, probabilities `(stages, N clips, num_classes)`, in each sample.

        Args:
            feats (Sequence[Tensor]): Feature maps of B x N clips, N clips a sample.
            data_samples (Sequence[ActionDataSample]): B samples.
        """
        scores = torch.stack([scores.softmax(dim=1) for scores in self(feats)])
        for sample, own in zip(data_samples, scores.chunk(len(data_samples), dim=1), strict=True):
            sample.set_field(own, "block_scores")
        return data_samples
