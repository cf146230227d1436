"""CMAC's heads: projections and saliency of both modalities, and the losses on them."""

import torch.nn as nn
from mmaction.registry import MODELS
from mmengine.model import BaseModule

from .projection import ProjectionHead
from .saliency import SaliencyHead


@MODELS.register_module()
class CMACHead(BaseModule):
    """Projection heads P_v, P_a, saliency heads h_v, h_a (CMAC, eq. 5) and both losses.

    A loss that is None is off, and the layers that only it needs are not built (the paper's
    table 1).

    Args:
        filter_channels (int): Channels of the neck's filters. Default: 512.
        visual_channels (int, optional): Channels of the visual feature map; None for a model
            without pictures. Default: 512.
        audio_channels (int, optional): Channels of the audio feature map; None for a model
            without sound. Default: 512.
        hidden_channels (int): Hidden length of the projections. Default: 512.
        embed_channels (int): Length of the embeddings. Default: 256.
        saliency_channels (int): Hidden channels of the saliency heads; our choice, the paper does
            not say. Default: 128.
        projection (bool): False leaves the projections out: the filters themselves are contrasted,
            as eq. 7 is printed. Nothing else ties the filters of the two modalities to one space,
            which is what attention guided by the other's filter needs; short runs show it.
            ``hidden_channels`` and ``embed_channels`` then do not count. Default: True.
        projection_norm (bool): Batch norm inside the projections and on their output. Off in the
            paper; short runs need it. Default: False.
        loss_contrastive (dict, optional): Config of :class:`MoCoQueueLoss`.
        loss_attention (dict, optional): Config of :class:`AttentionConsistencyLoss`; needs both
            modalities.
        init_cfg (dict | list, optional): MMEngine initialisation.

    Raises:
        ValueError: If there is no loss at all, or attention consistency with one modality.
    """

    def __init__(
        self,
        filter_channels: int = 512,
        visual_channels: int | None = 512,
        audio_channels: int | None = 512,
        hidden_channels: int = 512,
        embed_channels: int = 256,
        saliency_channels: int = 128,
        projection: bool = True,
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
        self.embed_channels = embed_channels if projection else filter_channels
        self.loss_contrastive = MODELS.build(loss_contrastive) if loss_contrastive else None
        self.loss_attention = MODELS.build(loss_attention) if loss_attention else None
        self.projections = nn.ModuleDict()
        self.saliency = nn.ModuleDict()
        for modality, channels, num_axes in (
            ("visual", visual_channels, 3),
            ("audio", audio_channels, 2),
        ):
            if channels is None:
                continue
            if self.loss_contrastive is not None:
                self.projections[modality] = (
                    ProjectionHead(
                        filter_channels,
                        hidden_channels,
                        embed_channels,
                        hidden_norm=projection_norm,
                        out_norm=projection_norm,
                    )
                    if projection
                    else nn.Identity()
                )
            if self.loss_attention is not None:
                self.saliency[modality] = SaliencyHead(channels, saliency_channels, num_axes)
