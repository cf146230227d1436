"""Audio-Visual Instance Discrimination with Cross-Modal Agreement (Morgado et al. 2021)."""

import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor

from ...utils import Watch
from ...utils.dist.gather import gather_batch
from ..encoder_model import add_fields, average_clips
from ..memories import MemoryBank, draw_negatives
from .audio_visual_model import AudioVisualModel
from .list_bound import ListBound


@MODELS.register_module()
class AVID(ListBound, AudioVisualModel):
    """Audio-visual instance discrimination against memory banks, optionally with CMA.

    The terms of the loss are those of :class:`AVIDHead`. Cross-modal agreement joins once
    ``positives`` were mined (see ``CrossModalAgreementHook``). Which videos there are is told by
    ``MemoryBankHook``, which also sees that the banks belong to the list. A video that never came
    in a whole pass over the list (broken, or silent) keeps a random row: from then on it is neither
    negative nor positive, see :meth:`leave_out_unvisited`.

    Args:
        head (dict): Config of :class:`AVIDHead`.
        visual_backbone (dict): Any backbone that returns `(B, C, T, H, W)`.
        audio_backbone (dict): Any backbone that returns `(B, C, F, T)`.
        num_negatives (int): K, negatives a sample, drawn anew at each step, the same for all
            terms. Defaults to 1024.
        num_positives (int): Positives a video; 0 for plain AVID. Defaults to 32.
        bank_momentum (float): Momentum of the memory banks. Defaults to 0.5.
        bank_dtype (str): What their rows are kept in, see :class:`MemoryBank`. Defaults to
            ``'float32'``.
        num_videos (int, optional): Rows of the banks. Defaults to None: from ``MemoryBankHook`` or
            the checkpoint.
        data_preprocessor (dict, optional): Config of :class:`AudioVisualDataPreprocessor`.
        init_cfg (dict | list, optional): MMEngine initialisation.

    Raises:
        ValueError: If a number is out of range.
    """

    row_buffers = ("positives", "visited", "left_out")
    bound_name = "memory banks"

    def __init__(
        self,
        head: dict,
        visual_backbone: dict,
        audio_backbone: dict,
        num_negatives: int = 1024,
        num_positives: int = 32,
        bank_momentum: float = 0.5,
        bank_dtype: str = "float32",
        num_videos: int | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(head, None, visual_backbone, audio_backbone, data_preprocessor, init_cfg)
        if not 1 <= self.head.num_agreement_negatives <= num_negatives or num_positives < 0:
            raise ValueError(
                "expected 1 <= head.num_agreement_negatives <= num_negatives and num_positives >= "
                f"0, got {self.head.num_agreement_negatives}, {num_negatives} and {num_positives}"
            )
        self.num_negatives = num_negatives
        self.banks = nn.ModuleDict(
            {
                name: MemoryBank(
                    num_videos or 0, self.head.embed_channels, bank_momentum, bank_dtype
                )
                for name in self.modalities
            }
        )
        self.positives: Tensor
        none = torch.full((num_videos or 0, num_positives), -1, dtype=torch.int32)
        self.register_buffer("positives", none)
        # Bytes, -1 or 1: whether the video has come; whether nobody is compared with it.
        for name in ("visited", "left_out"):
            self.register_buffer(name, torch.full((num_videos or 0,), -1, dtype=torch.int8))
        self._has_positives = Watch(_any_mined)
        self._candidates = Watch(_not_left_out)

    def bind_list(self, num_videos: int, digest: bytes, seed: int) -> None:
        """Make new banks for a list of videos, see :meth:`ListBound.bind_list`."""
        super().bind_list(num_videos, digest, seed)
        generator = torch.Generator().manual_seed(seed)
        for bank in self.banks.values():
            bank.resize(num_videos, generator)

    @torch.no_grad()
    def leave_out_unvisited(self) -> int:
        """Leave out the videos that have not come so far, as negatives and as positives.

        One that comes later is taken back at the next call.

        Returns:
            int: Number of videos left out.
        """
        self.left_out.copy_(-self.visited)
        return int((self.left_out > 0).sum())

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Leave behind positives of another number a video: they are mined anew.

        Of a checkpoint that does not say which videos came, all have.
        """
        stored = state_dict.get(f"{prefix}positives")
        if stored is not None and f"{prefix}visited" not in state_dict:
            came = torch.ones(len(stored), dtype=torch.int8)
            state_dict |= {f"{prefix}visited": came, f"{prefix}left_out": -came}
        if stored is not None and stored.shape[1] != self.positives.shape[1]:
            none = stored.new_full((len(stored), self.positives.shape[1]), -1)
            state_dict[f"{prefix}positives"] = none
        super()._load_from_state_dict(state_dict, prefix, *args)

    def loss(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None
    ) -> dict[str, Tensor]:
        """Compute the parts of the loss; in training, update the banks.

        Returns:
            dict[str, Tensor]: Keys that contain ``loss`` are summed by MMEngine, ``top1`` of each
            part is logged only.
        """
        (clips,) = self._training_clips(inputs)
        batch = self._rank_batch(data_samples, clips)
        if self.num_videos == 0:
            raise RuntimeError(
                "AVID's memory banks have no size yet: put dict(type='MemoryBankHook') into "
                "custom_hooks, or set num_videos"
            )
        self._check_rows(batch)
        queries = self.head.embed(self._encode(clips))
        mined = self.head.weights["agreement"] > 0 and self._has_positives(self.positives)
        positives = self.positives[batch.rows] if mined else None
        negatives = draw_negatives(
            batch.rows,
            self.num_videos,
            self.num_negatives,
            positives,
            batch.seeds,
            self._candidates(self.left_out),
        )
        losses, logs = self.head.loss(queries, self.banks, positives, negatives, batch)
        if self.training:
            for name, bank in self.banks.items():
                bank.update(batch.rows, queries[name].detach(), batch.sizes)
            self.visited[gather_batch(batch.rows, batch.sizes)] = 1
        return {**{name: batch.weight * loss for name, loss in losses.items()}, **logs}

    def embed(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute L2-normalised embeddings `(B, D)` of feature maps."""
        return self.head.embed(maps)

    @torch.no_grad()
    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None = None
    ) -> list[ActionDataSample]:
        """Compute features, embeddings and class activation.

        Returns:
            list[ActionDataSample]: The data samples with, for each modality: ``visual_feature``
            `(C,)`, pooled as the head does (global max pooling in the paper), averaged over clips;
            ``visual_embedding`` `(D,)`, averaged over clips and normalised again;
            ``guided_visual_attention`` `(N, T, H, W)`, for sound `(N, F, T)`, N the number of
            clips: :meth:`AVIDHead.class_activation`.
        """
        clips, num_clips = self.split_clips(inputs)
        maps = self._encode(clips)
        fields = {}
        for name, x in maps.items():
            fields[f"{name}_feature"] = average_clips(self.head.pool(x), num_clips)
        embeddings = self.embed(maps)
        for name, x in embeddings.items():
            fields[f"{name}_embedding"] = average_clips(x, num_clips, normalize=True)
        for name, x in self.head.class_activation(maps, embeddings).items():
            fields[f"guided_{name}_attention"] = x.unflatten(0, (-1, num_clips))
        return add_fields(data_samples, fields)


def _not_left_out(left_out: Tensor) -> Tensor | None:
    """Rows that are compared with; None: all."""
    rows = (left_out < 0).nonzero().squeeze(1)
    return rows if len(rows) < len(left_out) else None


def _any_mined(positives: Tensor) -> bool:
    return positives.numel() > 0 and int(positives.max()) >= 0
