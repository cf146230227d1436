"""Head of AVID: projections and losses."""

import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from ...utils.dist import RankBatch
from ..layers import pool_feature_map
from ..similarity import similarity_maps
from .projection import ProjectionHead

_OTHER = {"visual": "audio", "audio": "visual"}


@MODELS.register_module()
class AVIDHead(BaseModule):
    """Projection heads, and three groups of two noise contrastive losses (eq. 2).

    - Cross-AVID (eq. 4): video to the row of the audio bank, audio to that of the visual bank;
    - Self-AVID (eq. 3): each to the row of its own modality's bank; with Cross-AVID it is
      Joint-AVID (eq. 5);
    - cross-modal agreement (CMA, eq. 8): each to the rows of the video's positives in its own
      modality's bank, and negatives that are none of them.

    The terms of a group are averaged, the groups' weights divided by their sum.

    Args:
        visual_channels (int): Channels of the visual backbone. Defaults to 512.
        audio_channels (int): Channels of the audio backbone. Defaults to 512.
        pooling (str): How a feature map becomes a vector, for the projections and as the model's
            features, see :func:`pool_feature_map`: ``'max'`` (the paper) or ``'avg'``. Defaults to
            ``'max'``.
        num_layers (int): Linear layers of a projection; 3 in the paper. Defaults to 3.
        hidden_channels (int): Hidden lengths of the projections. Defaults to 512.
        embed_channels (int): Length of the embeddings. Defaults to 128.
        projection_norm (bool): Batch norm inside the projections and on their output. Off in the
            paper; short runs need it. Defaults to False.
        cross_weight (float): Weight of Cross-AVID. Defaults to 1.
        self_weight (float): Weight of Self-AVID. Defaults to 0.
        agreement_weight (float): Weight of CMA, lambda of eq. 9. Defaults to 1.
        num_agreement_negatives (int): How many of a sample's negatives, the first, CMA's terms
            take. Defaults to 64.
        temperature (float): tau. Defaults to 0.07.
        init_cfg (dict | list, optional): MMEngine initialisation. Defaults to None.

    Raises:
        ValueError: If the weights leave nothing to learn, or for another pooling.
    """

    def __init__(
        self,
        visual_channels: int = 512,
        audio_channels: int = 512,
        pooling: str = "max",
        num_layers: int = 3,
        hidden_channels: int = 512,
        embed_channels: int = 128,
        projection_norm: bool = False,
        cross_weight: float = 1.0,
        self_weight: float = 0.0,
        agreement_weight: float = 1.0,
        num_agreement_negatives: int = 64,
        temperature: float = 0.07,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.weights = {"cross": cross_weight, "self": self_weight, "agreement": agreement_weight}
        if min(self.weights.values()) < 0 or cross_weight + self_weight == 0:
            raise ValueError(
                "weights must not be negative, and cross_weight or self_weight positive, got "
                f"{self.weights}"
            )
        if pooling not in ("avg", "max"):
            raise ValueError(f"pooling must be 'avg' or 'max', got {pooling!r}")
        self.pooling = pooling
        self.channels = {"visual": visual_channels, "audio": audio_channels}
        self.embed_channels = embed_channels
        self.num_agreement_negatives = num_agreement_negatives
        self.projections = nn.ModuleDict(
            {
                name: ProjectionHead(
                    width,
                    hidden_channels,
                    embed_channels,
                    hidden_norm=projection_norm,
                    out_norm=projection_norm,
                    num_layers=num_layers,
                )
                for name, width in self.channels.items()
            }
        )
        self.loss_nce = MODELS.build(dict(type="NCELoss", temperature=temperature))

    def pool(self, feature_map: Tensor) -> Tensor:
        """One vector a clip, `(B, C)`."""
        return pool_feature_map(feature_map, self.pooling)

    def embed(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Project pooled feature maps to L2-normalised embeddings `(B, D)`, in float32."""
        return {
            name: F.normalize(projection(self.pool(maps[name])).float(), dim=1)
            for name, projection in self.projections.items()
            if name in maps
        }

    def class_activation(
        self, maps: dict[str, Tensor], embeddings: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Compute class activation maps with the other modality's embedding as the class.

        The projection is applied at each position, as if the clip were that position alone, and
        compared with the other modality's embedding. AVID is not trained for this: it is the
        baseline of methods whose attention is.

        Args:
            maps (dict[str, Tensor]): Feature maps `(B, C, T, H, W)` and `(B, C, F, T)`.
            embeddings (dict[str, Tensor]): What :meth:`embed` gives for them.

        Returns:
            dict[str, Tensor]: (1 + cosine) / 2, `(B, T, H, W)` and `(B, F, T)`, float32; nothing
            for clips of one modality.
        """
        return similarity_maps(maps, self.projections, embeddings)

    def loss(
        self,
        queries: dict[str, Tensor],
        banks: nn.ModuleDict,
        positives: Tensor | None,
        negatives: Tensor,
        batch: RankBatch,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the weighted terms of the loss; the first one that is scored sets Z.

        Args:
            queries (dict[str, Tensor]): What :meth:`embed` gives.
            banks (nn.ModuleDict): A :class:`MemoryBank` for each modality.
            positives (Tensor, optional): Row numbers of mined positives `(B, P)`, -1 for none;
                None before any were mined.
            negatives (Tensor): Row numbers of negatives `(B, K)`.
            batch (RankBatch): The batch.

        Returns:
            tuple[dict[str, Tensor], dict[str, Tensor]]: ``loss_visual_to_audio``,
            ``loss_visual_agreement`` and so on, and ``top1_...`` of each for the log.
        """
        weights = {
            group: weight
            for group, weight in self.weights.items()
            if weight > 0 and (group != "agreement" or positives is not None)
        }
        total = sum(weights.values())
        drawn = {name: bank.rows(negatives) for name, bank in banks.items()}
        losses, logs = {}, {}
        for group, weight in weights.items():
            for name, query in queries.items():
                bank = _OTHER[name] if group == "cross" else name
                term = f"{name}_to_{bank}"
                rows, counts, num_negatives = batch.rows[:, None], None, None
                if group == "agreement" and positives is not None:
                    term = f"{name}_agreement"
                    rows, counts = positives.clamp_min(0), positives >= 0
                    num_negatives = self.num_agreement_negatives
                loss, logs[f"top1_{term}"] = self.loss_nce(
                    query,
                    banks[bank].rows(rows),
                    drawn[bank][:, :num_negatives],
                    counts,
                    batch.sizes,
                )
                losses[f"loss_{term}"] = weight / total / 2 * loss
        return losses, logs
