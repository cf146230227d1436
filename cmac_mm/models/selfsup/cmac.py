"""Cross-Modal Attention Consistency (Min et al. 2021)."""

import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor

from ...utils.dist import RankBatch
from ..encoder_model import add_fields, average_clips
from ..layers import global_average_pool
from ..memories import KeyQueue, Keys, in_batch_keys
from .audio_visual_model import AudioVisualModel
from .gradient_norms import gradient_norms
from .momentum_encoder import MomentumEncoder


@MODELS.register_module()
class CMAC(AudioVisualModel):
    """Cross-modal attention consistency with a MoCo-style contrastive loss.

    Objective (eq. 8): ``L(q_v, k_a) + L(q_a, k_v) + lambda (L_ac visual + L_ac audio)``.
    With one backbone alone it is MoCo on two clips of a video (table 1, "single modality").

    Args:
        neck (dict): Config of :class:`CMACNeck`.
        head (dict): Config of :class:`CMACHead`; its losses decide what is trained.
        visual_backbone (dict, optional): Any backbone that returns `(B, C, T, H, W)`.
        audio_backbone (dict, optional): Any backbone that returns `(B, C, F, T)`.
        queue_size (int): K, keys in each of the queues. 0 turns queues and key encoders off: keys
            are then the other modality's queries of the batch (of all ranks), with gradient, and
            a batch needs two videos. Defaults to 15000.
        momentum (float): Momentum of the key encoders. Defaults to 0.999.
        shuffle_bn (bool): Shuffled batch norm for the key encoders on several ranks.
            Defaults to True.
        grad_norm_interval (int): Every so many steps log the gradient norm that each part of the
            loss sends into the encoders' feature maps; 0 for never. Defaults to 50.
        data_preprocessor (dict, optional): Config of :class:`AudioVisualDataPreprocessor`.
        init_cfg (dict | list, optional): MMEngine initialisation.

    Raises:
        ValueError: If the options contradict each other.
    """

    def __init__(
        self,
        neck: dict,
        head: dict,
        visual_backbone: dict | None = None,
        audio_backbone: dict | None = None,
        queue_size: int = 15000,
        momentum: float = 0.999,
        shuffle_bn: bool = True,
        grad_norm_interval: int = 50,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(head, neck, visual_backbone, audio_backbone, data_preprocessor, init_cfg)
        if self.neck.channels != self.head.channels:
            raise ValueError(
                f"neck and head must be of the same channels, got {self.neck.channels} and "
                f"{self.head.channels}"
            )
        contrast = self.head.loss_contrastive
        if queue_size < 0:
            raise ValueError(f"queue_size must not be negative, got {queue_size}")
        if contrast is not None and queue_size == 0:
            if self.head.num_clips == 2:
                raise ValueError(
                    "queue_size=0 takes the other modality's queries as keys: it goes neither "
                    "with a single modality nor with within_modal_positives"
                )
            if not contrast.in_batch_negatives:
                raise ValueError("queue_size=0 needs in_batch_negatives=True: no negatives left")
        self.grad_norm_interval = grad_norm_interval
        self._steps = 0
        self.queue_size = queue_size if contrast is not None else 0
        if self.queue_size:
            self.key_encoders = nn.ModuleDict()
            self.queues = nn.ModuleDict()
            for name in self.modalities:
                self.key_encoders[name] = MomentumEncoder(
                    *self._query_modules(name), momentum=momentum, shuffle_bn=shuffle_bn
                )
                self.queues[name] = KeyQueue(self.queue_size, self.head.embed_channels)

    def _query_modules(self, modality: str) -> tuple[nn.Module, nn.Module, nn.Module]:
        """f, g and P of one modality."""
        backbone = getattr(self, f"{modality}_backbone")
        return backbone, self.neck.branch(modality), self.head.projection_of(modality)

    def init_weights(self) -> None:
        """Initialise the weights; key encoders start as copies of the query encoders."""
        super().init_weights()
        if self.queue_size:
            for name, encoder in self.key_encoders.items():
                encoder.copy_from(self._query_modules(name))

    def loss(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None
    ) -> dict[str, Tensor]:
        """Compute the parts of the objective (eq. 8), and values for the log.

        Returns:
            dict[str, Tensor]: Keys that contain ``loss`` are summed by MMEngine; the others are
            logged only.
        """
        first, *second = self._training_clips(inputs, self.head.num_clips)
        batch = self._rank_batch(data_samples, first)
        maps = self._encode(first)
        filters = self.neck(maps)
        queries = self.head.embed(filters.kernels)
        keys = self._keys(queries, first, second, batch)
        losses, logs = self.head.loss(maps, filters, queries, keys, batch)
        losses = {name: batch.weight * loss for name, loss in losses.items()}
        if self.training:
            if self.queue_size and keys is not None:
                for name, queue in self.queues.items():
                    queue.enqueue(keys.batch[name], batch.all_rows)
            if self.grad_norm_interval and self._steps % self.grad_norm_interval == 0:
                logs.update(gradient_norms(losses, maps))
            self._steps += 1
        return {**losses, **logs}

    def _keys(
        self,
        queries: dict[str, Tensor],
        first: dict[str, Tensor],
        second: list[dict[str, Tensor]],
        batch: RankBatch,
    ) -> Keys | None:
        """The keys of this step, and the queues as they were before it."""
        if not queries:
            return None
        if not self.queue_size:
            return in_batch_keys(queries, batch)
        keys = Keys({}, {}, {}, {})
        whole_numbers = getattr(self.data_preprocessor, "whole_numbers", False)
        pictures = {"visual": self.data_preprocessor if whole_numbers else None, "audio": None}
        for name, encoder in self.key_encoders.items():
            queue = self.queues[name]
            # Cloned, as the queue changes before backward.
            keys.past[name] = (queue.keys.clone(), queue.sample_idx.clone())
            if self.training:
                encoder.follow(self._query_modules(name))
            if len(queries) == 2:
                keys.own[name], keys.batch[name] = encoder(first[name], batch, pictures[name])
            for clips in second:
                keys.second[name], of_all_ranks = encoder(clips[name], batch, pictures[name])
                keys.batch.setdefault(name, of_all_ranks)
        return keys

    def embed(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute L2-normalised embeddings `(B, D)`; empty without the contrastive loss."""
        return self.head.embed(self.neck(maps).kernels)

    @torch.no_grad()
    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None = None
    ) -> list[ActionDataSample]:
        """Compute features, embeddings and attention maps.

        Returns:
            list[ActionDataSample]: The data samples with, for each modality: ``visual_feature``
            `(C,)`, globally average-pooled and averaged over clips; ``visual_embedding`` `(D,)`,
            averaged over clips and normalised again; ``guided_visual_attention`` and
            ``predicted_visual_attention`` `(N, T, H, W)`, for sound `(N, F, T)`, N the number of
            clips. What the model has no layers for is absent.
        """
        clips, num_clips = self.split_clips(inputs)
        maps = self._encode(clips)
        filters = self.neck(maps)
        fields = {}
        for name, x in maps.items():
            fields[f"{name}_feature"] = average_clips(global_average_pool(x), num_clips)
        for name, x in self.head.embed(filters.kernels).items():
            fields[f"{name}_embedding"] = average_clips(x, num_clips, normalize=True)
        for kind, attention in (
            ("guided", filters.guided),
            ("predicted", self.head.predict_attention(maps)),
        ):
            for name, x in attention.items():
                fields[f"{kind}_{name}_attention"] = x.float().unflatten(0, (-1, num_clips))
        return add_fields(data_samples, fields)
