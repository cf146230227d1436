"""Audio-Visual Instance Discrimination with Cross-Modal Agreement (Morgado et al. 2021)."""

from typing import NamedTuple

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor

from ...utils import Watch, refuse_other_list
from ...utils.dist import batch_weight, rank_sizes
from ..heads.projection import ProjectionHead
from ..layers import global_average_pool
from ..memories import MemoryBank, draw_negatives
from .audio_visual_model import AudioVisualModel

_OTHER = {"visual": "audio", "audio": "visual"}
_DIGEST_BYTES = 32
# Seeds of the samples' augmentations end below it.
_NEGATIVES_SEED = 2**32


class _Term(NamedTuple):
    """One term of the loss: a modality's embeddings against rows of a bank."""

    name: str
    weight: float
    query: str
    bank: str
    positives: Tensor  # row numbers (B, P)
    valid: Tensor | None
    num_negatives: int


@MODELS.register_module()
class AVID(AudioVisualModel):
    """Instance discrimination against memory banks, across modalities, within them, or both.

    Three groups of two terms, each a noise contrastive loss (eq. 2):

    - Cross-AVID (eq. 4): picture to the video's row of the audio bank, sound to that of the visual
      bank;
    - Self-AVID (eq. 3): each to the video's row of its own modality's bank; with Cross-AVID it
      is Joint-AVID (eq. 5);
    - cross-modal agreement (CMA, eq. 8): each to the rows of the video's positives in its own
      modality's bank, once ``positives`` were mined (see ``CrossModalAgreementHook``), and
      negatives that are none of them.

    The terms of a group are averaged, the groups' weights divided by their sum. Which videos there
    are is told by ``MemoryBankHook``, which also sees that the banks belong to the list.

    Args:
        visual_backbone (dict): Any backbone that returns `(B, C, T, H, W)`.
        audio_backbone (dict): Any backbone that returns `(B, C, F, T)`.
        visual_channels (int): Channels of the visual backbone. Default: 512.
        audio_channels (int): Channels of the audio backbone. Default: 512.
        hidden_channels (int): Hidden lengths of the projection heads (three linear layers, after
            global max pooling). Default: 512.
        embed_channels (int): Length of the embeddings. Default: 128.
        projection_norm (bool): Batch norm inside the projections and on their output. Off in the
            paper; short runs need it. Default: False.
        cross_weight (float): Weight of Cross-AVID. Default: 1.
        self_weight (float): Weight of Self-AVID. Default: 0.
        agreement_weight (float): Weight of CMA, lambda of eq. 9. Default: 1.
        num_negatives (int): K, negatives a sample, drawn anew at each step, the same for all
            terms. Default: 1024.
        num_agreement_negatives (int): How many of them, the first, CMA's terms take. Default: 64.
        num_positives (int): Positives a video; 0 for plain AVID. Default: 32.
        bank_momentum (float): Momentum of the memory banks. Default: 0.5.
        temperature (float): tau. Default: 0.07.
        num_videos (int, optional): Rows of the banks. Default: None, from ``MemoryBankHook`` or
            the checkpoint.
        data_preprocessor (dict, optional): Config of :class:`AudioVisualDataPreprocessor`.
        init_cfg (dict | list, optional): MMEngine initialisation.

    Raises:
        ValueError: If the weights leave nothing to learn, or a number is out of range.
    """

    def __init__(
        self,
        visual_backbone: dict,
        audio_backbone: dict,
        visual_channels: int = 512,
        audio_channels: int = 512,
        hidden_channels: int = 512,
        embed_channels: int = 128,
        projection_norm: bool = False,
        cross_weight: float = 1.0,
        self_weight: float = 0.0,
        agreement_weight: float = 1.0,
        num_negatives: int = 1024,
        num_agreement_negatives: int = 64,
        num_positives: int = 32,
        bank_momentum: float = 0.5,
        temperature: float = 0.07,
        num_videos: int | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(visual_backbone, audio_backbone, data_preprocessor, init_cfg)
        weights = {"cross": cross_weight, "self": self_weight, "agreement": agreement_weight}
        if min(weights.values()) < 0 or cross_weight + self_weight == 0:
            raise ValueError(
                "weights must not be negative, and cross_weight or self_weight positive, got "
                f"{weights}"
            )
        if not 1 <= num_agreement_negatives <= num_negatives or num_positives < 0:
            raise ValueError(
                "expected 1 <= num_agreement_negatives <= num_negatives and num_positives >= 0, "
                f"got {num_agreement_negatives}, {num_negatives} and {num_positives}"
            )
        self.weights = weights
        self.num_negatives = num_negatives
        self.num_agreement_negatives = num_agreement_negatives
        self.channels = {"visual": visual_channels, "audio": audio_channels}
        self.projections = nn.ModuleDict()
        self.banks = nn.ModuleDict()
        for name, channels in self.channels.items():
            self.projections[name] = ProjectionHead(
                channels,
                hidden_channels,
                embed_channels,
                hidden_norm=projection_norm,
                out_norm=projection_norm,
                num_layers=3,
            )
            self.banks[name] = MemoryBank(num_videos or 0, embed_channels, bank_momentum)
        self.loss_nce = MODELS.build(dict(type="NCELoss", temperature=temperature))
        self.positives: Tensor
        self.list_digest: Tensor
        self.register_buffer("positives", torch.full((num_videos or 0, num_positives), -1))
        self.register_buffer("list_digest", torch.zeros(_DIGEST_BYTES, dtype=torch.uint8))
        self._has_positives = Watch(_any_mined)

    @property
    def num_videos(self) -> int:
        """Rows of the banks; 0 if nobody has told yet."""
        return len(self.positives)

    def bind_list(self, num_videos: int, digest: bytes, seed: int) -> None:
        """Make new banks for a list of videos.

        Args:
            num_videos (int): Number of videos.
            digest (bytes): 32 bytes that tell the list from others. A checkpoint of another list
                is refused from now on.
            seed (int): Draws the rows, the same on all ranks.
        """
        generator = torch.Generator().manual_seed(seed)
        for bank in self.banks.values():
            bank.resize(num_videos, generator)
        self.positives = self.positives.new_full((num_videos, self.positives.shape[1]), -1)
        self.list_digest.copy_(torch.frombuffer(bytearray(digest), dtype=torch.uint8))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """See that stored banks belong to the list, and take the size of those where none is set.

        Positives of another number a video are left behind: they are mined anew.

        Raises:
            RuntimeError: If the banks belong to another list.
        """
        key = f"{prefix}positives"
        if key in state_dict:
            stored, digest = state_dict[key], state_dict[f"{prefix}list_digest"]
            if self.num_videos == 0:
                self.positives = self.positives.new_full((len(stored), self.positives.shape[1]), -1)
            refuse_other_list(
                "memory banks",
                (len(stored), bytes(digest.tolist())),
                (self.num_videos, bytes(self.list_digest.tolist())),
            )
            if stored.shape != self.positives.shape:
                state_dict[key] = torch.full_like(self.positives, -1)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _embed(self, modality: str, feature_map: Tensor) -> Tensor:
        """L2-normalised projection of the max-pooled feature map, in float32."""
        feature = feature_map.flatten(2).amax(dim=2)
        return F.normalize(self.projections[modality](feature).float(), dim=1)

    def loss(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None
    ) -> dict[str, Tensor]:
        """Parts of the loss; in training the banks then take the batch's embeddings.

        Returns:
            dict[str, Tensor]: Keys that contain ``loss`` are summed by MMEngine, ``top1`` of each
            part is logged only.
        """
        clips, num_clips = self._split_clips(inputs)
        if num_clips != 1:
            raise ValueError(
                f"AVID trains on one clip a video, got {num_clips}: for more clips an epoch set "
                "repeats of ResumableSampler"
            )
        sample_idx = self._sample_idx(data_samples, len(clips["visual"]))
        self._check_rows(data_samples)
        sizes, weight = rank_sizes(data_samples), batch_weight(data_samples)
        queries = {name: self._embed(name, self._encode(name, x)) for name, x in clips.items()}

        mined = self.weights["agreement"] > 0 and self._has_positives(self.positives)
        positives = self.positives[sample_idx] if mined else None
        drawn = draw_negatives(
            sample_idx, self.num_videos, self.num_negatives, positives, _generators(data_samples)
        )
        negatives = {name: bank.rows(drawn) for name, bank in self.banks.items()}

        losses: dict[str, Tensor] = {}
        for term in self._terms(sample_idx, positives):
            loss, top1 = self.loss_nce(
                queries[term.query],
                self.banks[term.bank].rows(term.positives),
                negatives[term.bank][:, : term.num_negatives],
                term.valid,
                sizes,
            )
            losses[f"loss_{term.name}"] = weight * term.weight * loss
            losses[f"top1_{term.name}"] = top1
        if self.training:
            for name, bank in self.banks.items():
                bank.update(sample_idx, queries[name].detach(), sizes)
        return losses

    def _check_rows(self, data_samples: list[ActionDataSample]) -> None:
        if self.num_videos == 0:
            raise RuntimeError(
                "AVID's memory banks have no size yet: put dict(type='MemoryBankHook') into "
                "custom_hooks, or set num_videos"
            )
        last = max(int(sample.sample_idx) for sample in data_samples)
        if last >= self.num_videos:
            raise ValueError(
                f"sample_idx {last} is outside the memory banks of {self.num_videos} videos"
            )

    def _terms(self, sample_idx: Tensor, positives: Tensor | None) -> list[_Term]:
        """The loss's terms, in the order in which they are scored: the first sets Z."""
        weights = {
            group: weight
            for group, weight in self.weights.items()
            if weight > 0 and (group != "agreement" or positives is not None)
        }
        total = sum(weights.values())
        own = sample_idx[:, None]
        terms = []
        for group, weight in weights.items():
            for query in self.modalities:
                bank = _OTHER[query] if group == "cross" else query
                name = f"{query}_agreement" if group == "agreement" else f"{query}_to_{bank}"
                of_term = (own, None, self.num_negatives)
                if group == "agreement":
                    rows = positives.clamp_min(0)
                    of_term = (rows, positives >= 0, self.num_agreement_negatives)
                terms.append(_Term(name, weight / total / 2, query, bank, *of_term))
        return terms

    @torch.no_grad()
    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None = None
    ) -> list[ActionDataSample]:
        """Features and embeddings.

        Returns:
            list[ActionDataSample]: The data samples with, for each modality: ``visual_feature``
            `(C,)`, globally average-pooled as with the other methods, averaged over clips;
            ``visual_embedding`` `(D,)`, averaged over clips and normalised again.
        """
        clips, num_clips = self._split_clips(inputs)
        fields: dict[str, Tensor] = {}
        for name, x in clips.items():
            feature_map = self._encode(name, x)
            feature = global_average_pool(feature_map).float().unflatten(0, (-1, num_clips))
            fields[f"{name}_feature"] = feature.mean(dim=1)
            embedding = self._embed(name, feature_map).unflatten(0, (-1, num_clips))
            fields[f"{name}_embedding"] = F.normalize(embedding.mean(dim=1), dim=1)
        return self._add_fields(data_samples, fields)


def _any_mined(positives: Tensor) -> bool:
    return positives.numel() > 0 and bool((positives >= 0).any())


def _generators(data_samples: list[ActionDataSample]) -> list[torch.Generator] | None:
    """A generator for each sample, so that its draws are the same on whichever rank it is."""
    if any("sample_seed" not in sample for sample in data_samples):
        return None
    return [
        torch.Generator().manual_seed(_NEGATIVES_SEED + sample.sample_seed)
        for sample in data_samples
    ]
