"""Head of CMAC: projections, saliency heads and losses."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from ...utils.dist import RankBatch
from ..memories import Keys
from ..necks import Filters
from .projection import ProjectionHead
from .saliency import SaliencyHead


@MODELS.register_module()
class CMACHead(BaseModule):
    """Projection heads P_v, P_a, saliency heads h_v, h_a (CMAC, eq. 5) and both losses.

    A loss that is None is off, and the layers that only it needs are not built (the paper's
    table 1).

    Args:
        filter_channels (int): Channels of the neck's filters. Defaults to 512.
        visual_channels (int, optional): Channels of the visual feature map; None for a model
            without pictures. Defaults to 512.
        audio_channels (int, optional): Channels of the audio feature map; None for a model
            without sound. Defaults to 512.
        hidden_channels (int): Hidden length of the projections. Defaults to 512.
        embed_channels (int): Length of the embeddings. Defaults to 256.
        saliency_channels (int): Hidden channels of the saliency heads; our choice, the paper does
            not say. Defaults to 128.
        projection (str): ``'separate'``: P_v and P_a; ``'shared'``: one for both modalities;
            ``'none'``: the filters themselves are contrasted, as eq. 7 is printed, and
            ``hidden_channels`` and ``embed_channels`` do not count. With separate ones and
            ``detach_target`` nothing ties the channels of the two modalities' filters to each
            other, which attention guided by the other's filter needs: its map is then arbitrary.
            Defaults to ``'separate'``.
        projection_layers (int): Linear layers of a projection, 1 or 2. Defaults to 2.
        projection_norm (bool): Batch norm inside the projections and on their output. Off in the
            paper; short runs need it. Defaults to False.
        loss_contrastive (dict, optional): Config of :class:`MoCoQueueLoss`.
        loss_attention (dict, optional): Config of :class:`AttentionConsistencyLoss`; needs both
            modalities.
        init_cfg (dict | list, optional): MMEngine initialisation.

    Raises:
        ValueError: If there is no loss at all, or attention consistency with one modality, or an
            option is unknown.
    """

    def __init__(
        self,
        filter_channels: int = 512,
        visual_channels: int | None = 512,
        audio_channels: int | None = 512,
        hidden_channels: int = 512,
        embed_channels: int = 256,
        saliency_channels: int = 128,
        projection: str = "separate",
        projection_layers: int = 2,
        projection_norm: bool = False,
        loss_contrastive: dict | None = None,
        loss_attention: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if loss_contrastive is None and loss_attention is None:
            raise ValueError("loss_contrastive and loss_attention are both None: nothing to learn")
        if loss_attention is not None and None in (visual_channels, audio_channels):
            raise ValueError(
                "loss_attention needs both modalities, got "
                f"visual_channels={visual_channels}, audio_channels={audio_channels}"
            )
        if projection not in ("separate", "shared", "none"):
            raise ValueError(
                f"projection must be 'separate', 'shared' or 'none', got {projection!r}"
            )
        if projection_layers not in (1, 2):
            raise ValueError(f"projection_layers must be 1 or 2, got {projection_layers}")
        self.channels = {
            name: width
            for name, width in (("visual", visual_channels), ("audio", audio_channels))
            if width is not None
        }
        self.projection = projection
        self.embed_channels = filter_channels if projection == "none" else embed_channels
        self.loss_contrastive = MODELS.build(loss_contrastive) if loss_contrastive else None
        self.loss_attention = MODELS.build(loss_attention) if loss_attention else None
        self.projections = nn.ModuleDict()
        self.saliency = nn.ModuleDict()
        for name, width in self.channels.items():
            key = name if projection == "separate" else projection
            if self.loss_contrastive is not None and key not in self.projections:
                self.projections[key] = (
                    nn.Identity()
                    if projection == "none"
                    else ProjectionHead(
                        filter_channels,
                        hidden_channels,
                        embed_channels,
                        hidden_norm=projection_norm,
                        out_norm=projection_norm,
                        num_layers=projection_layers,
                    )
                )
            if self.loss_attention is not None:
                num_axes = {"visual": 3, "audio": 2}[name]
                self.saliency[name] = SaliencyHead(width, saliency_channels, num_axes)

    @property
    def num_clips(self) -> int:
        """Number of clips a video that the losses need."""
        contrast = self.loss_contrastive
        if contrast is None:
            return 1
        return 2 if contrast.within_modal_positives or len(self.channels) == 1 else 1

    def projection_of(self, modality: str) -> nn.Module:
        """Get the projection of ``'visual'`` or ``'audio'``."""
        return self.projections[modality if self.projection == "separate" else self.projection]

    def embed(self, kernels: dict[str, Tensor]) -> dict[str, Tensor]:
        """Project the filters to L2-normalised embeddings `(B, embed_channels)`, in float32.

        Empty without the contrastive loss.
        """
        if self.loss_contrastive is None:
            return {}
        return {
            name: F.normalize(self.projection_of(name)(kernel).float(), dim=1)
            for name, kernel in kernels.items()
        }

    def predict_attention(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Predict attention `(B, *S)` from each feature map `(B, C, *S)` alone."""
        return {
            name: saliency(maps[name]) for name, saliency in self.saliency.items() if name in maps
        }

    def loss(
        self,
        maps: dict[str, Tensor],
        filters: Filters,
        queries: dict[str, Tensor],
        keys: Keys | None,
        batch: RankBatch,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the parts of the objective (eq. 8).

        Args:
            maps (dict[str, Tensor]): Feature maps of both encoders, or of one.
            filters (Filters): What the neck made of them.
            queries (dict[str, Tensor]): What :meth:`embed` made of the filters.
            keys (Keys, optional): What they are compared with; None without the contrastive loss.
            batch (RankBatch): The batch.

        Returns:
            tuple[dict[str, Tensor], dict[str, Tensor]]: The losses, and what is logged.
        """
        losses, logs = {}, {}
        if self.loss_contrastive is not None:
            losses, logs = self.loss_contrastive(queries, keys, batch)
        if self.loss_attention is not None:
            for name, guided in filters.guided.items():
                predicted = self.saliency[name](maps[name])
                losses[f"loss_{name}_attention"] = self.loss_attention(predicted, guided)
                logs.update(_compare_attention(name, guided, predicted))
        return losses, logs


@torch.no_grad()
def _compare_attention(name: str, guided: Tensor, predicted: Tensor) -> dict[str, Tensor]:
    """Means, deviation and correlation of two attention maps `(B, *S)`, means over the batch."""
    flat = torch.stack([guided.flatten(1), predicted.float().flatten(1)])
    centred = flat - flat.mean(dim=2, keepdim=True)
    std = centred.square().mean(dim=2).sqrt()
    covariance = centred.prod(dim=0).mean(dim=1)
    return {
        f"guided_{name}_mean": flat[0].mean(),
        f"guided_{name}_std": std[0].mean(),
        f"predicted_{name}_mean": flat[1].mean(),
        f"attention_{name}_corr": (covariance / std.prod(dim=0).clamp_min(1e-12)).mean(),
    }
