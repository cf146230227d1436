"""Cross-Modal Attention Consistency (Min et al. 2021)."""

from collections import OrderedDict

import torch
import torch.nn as nn
import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor

from ...utils.dist import batch_weight, gather_batch, gather_batch_with_grad, rank_sizes
from ..layers import global_average_pool
from ..memories import KeyQueue
from .audio_visual_model import AudioVisualModel
from .momentum_encoder import MomentumEncoder

_OTHER = {"visual": "audio", "audio": "visual"}
# Gradients of a part can lie below the smallest float16: scale them while they are taken.
_GRADIENT_SCALE = 2.0**10


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
            a batch needs two videos. Default: 15000.
        momentum (float): Momentum of the key encoders. Default: 0.999.
        shuffle_bn (bool): Shuffled batch norm for the key encoders on several ranks.
            Default: True.
        grad_norm_interval (int): Every so many steps log the gradient norm that each part of the
            loss sends into the encoders' feature maps; 0 for never. Default: 50.
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
        super().__init__(visual_backbone, audio_backbone, data_preprocessor, init_cfg)
        self.neck = MODELS.build(neck)
        self.head = MODELS.build(head)
        self.channels = {
            name: getattr(self.neck, f"{name}_filter")[0].in_channels for name in self.modalities
        }
        self.grad_norm_interval = grad_norm_interval
        self._steps = 0

        contrast = self.head.loss_contrastive
        self.second_clip = contrast is not None and (
            contrast.within_modal_positives or len(self.modalities) == 1
        )
        if queue_size < 0:
            raise ValueError(f"queue_size must not be negative, got {queue_size}")
        if contrast is not None and queue_size == 0:
            if self.second_clip:
                raise ValueError(
                    "queue_size=0 takes the other modality's queries as keys: it goes neither "
                    "with a single modality nor with within_modal_positives"
                )
            if not contrast.in_batch_negatives:
                raise ValueError("queue_size=0 needs in_batch_negatives=True: no negatives left")
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
        return (
            getattr(self, f"{modality}_backbone"),
            getattr(self.neck, f"{modality}_filter"),
            self.head.projections[modality],
        )

    def init_weights(self) -> None:
        """Initialise the weights; key encoders start as copies of the query encoders."""
        super().init_weights()
        if self.queue_size:
            for name, encoder in self.key_encoders.items():
                encoder.update(self._query_modules(name), momentum=0)

    def _embed(self, modality: str, kernel: Tensor) -> Tensor:
        """L2-normalised projection of a filter, in float32."""
        return F.normalize(self.head.projections[modality](kernel).float(), dim=1)

    def loss(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None
    ) -> dict[str, Tensor]:
        """Parts of the objective (eq. 8), and what tells whether they work.

        Returns:
            dict[str, Tensor]: Keys that contain ``loss`` are summed by MMEngine; the others are
            logged only.
        """
        first, second = self._training_clips(inputs)
        maps = {name: self._encode(name, x) for name, x in first.items()}
        filtered = {name: getattr(self.neck, f"{name}_filter")(maps[name]) for name in maps}
        kernels = {name: global_average_pool(x) for name, x in filtered.items()}

        losses: dict[str, Tensor] = {}
        logs: dict[str, Tensor] = {}
        if self.head.loss_contrastive is not None:
            self._contrast(kernels, first, second, data_samples, losses, logs)
        if self.head.loss_attention is not None:
            self._align_attention(maps, filtered, kernels, losses, logs)
        weight = batch_weight(data_samples)
        losses = {name: weight * loss for name, loss in losses.items()}
        if self.training and self.grad_norm_interval:
            if self._steps % self.grad_norm_interval == 0:
                logs.update(self._gradient_norms(losses, maps))
            self._steps += 1
        return {**losses, **logs}

    def _training_clips(
        self, inputs: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The clip of the query, and the video's second clip where the loss needs one."""
        clips, num_clips = self._split_clips(inputs)
        wanted = 2 if self.second_clip else 1
        if num_clips != wanted:
            raise ValueError(
                f"this CMAC trains on {wanted} clip(s) a video, got {num_clips}: set num_clips of "
                "SampleClips"
            )
        if wanted == 1:
            return clips, {}
        pairs = {name: x.unflatten(0, (-1, 2)) for name, x in clips.items()}
        return (
            {name: x[:, 0] for name, x in pairs.items()},
            {name: x[:, 1] for name, x in pairs.items()},
        )

    def _contrast(
        self,
        kernels: dict[str, Tensor],
        first: dict[str, Tensor],
        second: dict[str, Tensor],
        data_samples: list[ActionDataSample] | None,
        losses: dict[str, Tensor],
        logs: dict[str, Tensor],
    ) -> None:
        """Contrastive losses (eq. 7) of every query; then the queues take the batch's keys."""
        contrast = self.head.loss_contrastive
        sample_idx = self._sample_idx(data_samples, len(next(iter(first.values()))))
        sizes = rank_sizes(data_samples)
        batch_idx = gather_batch(sample_idx, sizes)
        queries = {name: self._embed(name, kernel) for name, kernel in kernels.items()}
        single = len(queries) == 1

        keys, batch_keys, second_keys, past_keys = {}, {}, {}, {}
        if self.queue_size:
            for name, encoder in self.key_encoders.items():
                # The queue as it was before this step; cloned, as it changes before backward.
                queue = self.queues[name]
                past_keys[name] = (queue.keys.clone(), queue.sample_idx.clone())
                if self.training:
                    encoder.update(self._query_modules(name))
                if not single:
                    keys[name], batch_keys[name] = encoder(first[name], sizes)
                if second:
                    second_keys[name], of_all_ranks = encoder(second[name], sizes)
                    batch_keys.setdefault(name, of_all_ranks)
        else:
            _check_negatives(data_samples, len(batch_idx))
            keys = queries
            batch_keys = {name: gather_batch_with_grad(q, sizes) for name, q in queries.items()}

        for name, query in queries.items():
            sources = [name] if single else [_OTHER[name]]
            if contrast.within_modal_negatives and not single:
                sources.append(name)
            negatives = [past_keys[source] for source in sources if source in past_keys]
            if contrast.in_batch_negatives:
                negatives += [(batch_keys[source], batch_idx) for source in sources]
            positives = {} if single else {_OTHER[name]: keys[_OTHER[name]]}
            if second:
                positives[name] = second_keys[name]
            for source, positive in positives.items():
                direction = f"{name}_to_{source}"
                losses[f"loss_{direction}"], logs[f"top1_{direction}"] = contrast(
                    query, positive, negatives, sample_idx
                )
        if self.training and self.queue_size:
            for name, queue in self.queues.items():
                queue.enqueue(batch_keys[name], batch_idx)

    def _attention(
        self, filtered: dict[str, Tensor], kernels: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Guided attention in each modality (eq. 4)."""
        return {name: self.neck(kernels[_OTHER[name]], filtered[name]) for name in filtered}

    def _align_attention(
        self,
        maps: dict[str, Tensor],
        filtered: dict[str, Tensor],
        kernels: dict[str, Tensor],
        losses: dict[str, Tensor],
        logs: dict[str, Tensor],
    ) -> None:
        """Attention consistency (eq. 6) in both modalities."""
        for name, guided in self._attention(filtered, kernels).items():
            predicted = self.head.saliency[name](maps[name])
            losses[f"loss_{name}_attention"] = self.head.loss_attention(predicted, guided)
            with torch.no_grad():
                flat = torch.stack([guided.flatten(1), predicted.float().flatten(1)])
                centred = flat - flat.mean(dim=2, keepdim=True)
                std = centred.square().mean(dim=2).sqrt()
                covariance = centred.prod(dim=0).mean(dim=1)
                logs[f"guided_{name}_mean"] = flat[0].mean()
                logs[f"guided_{name}_std"] = std[0].mean()
                logs[f"predicted_{name}_mean"] = flat[1].mean()
                logs[f"attention_{name}_corr"] = (
                    covariance / std.prod(dim=0).clamp_min(1e-12)
                ).mean()

    @staticmethod
    def _gradient_norms(losses: dict[str, Tensor], maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Gradient norm of each part of the loss at the encoders' feature maps."""
        norms = OrderedDict()
        for key, value in losses.items():
            gradients = torch.autograd.grad(
                value * _GRADIENT_SCALE, list(maps.values()), retain_graph=True, allow_unused=True
            )
            present = [gradient.float().norm() for gradient in gradients if gradient is not None]
            norms[key.replace("loss_", "grad_norm_")] = (
                torch.stack(present).norm() / _GRADIENT_SCALE
            )
        return norms

    @torch.no_grad()
    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None = None
    ) -> list[ActionDataSample]:
        """Features, embeddings and attention maps.

        Returns:
            list[ActionDataSample]: The data samples with, for each modality: ``visual_feature``
            `(C,)`, globally average-pooled and averaged over clips; ``visual_embedding`` `(D,)`,
            averaged over clips and normalised again; ``guided_visual_attention`` and
            ``predicted_visual_attention`` `(N, T, H, W)`, for sound `(N, F, T)`, N the number of
            clips. What the model has no layers for is absent.
        """
        clips, num_clips = self._split_clips(inputs)
        maps = {name: self._encode(name, x) for name, x in clips.items()}
        filtered = {name: getattr(self.neck, f"{name}_filter")(maps[name]) for name in maps}
        kernels = {name: global_average_pool(x) for name, x in filtered.items()}

        fields: dict[str, Tensor] = {}
        for name, feature_map in maps.items():
            feature = global_average_pool(feature_map).float().unflatten(0, (-1, num_clips))
            fields[f"{name}_feature"] = feature.mean(dim=1)
            if self.head.loss_contrastive is not None:
                embedding = self._embed(name, kernels[name]).unflatten(0, (-1, num_clips))
                fields[f"{name}_embedding"] = F.normalize(embedding.mean(dim=1), dim=1)
            if self.head.loss_attention is not None:
                predicted = self.head.saliency[name](feature_map).float()
                fields[f"predicted_{name}_attention"] = predicted.unflatten(0, (-1, num_clips))
        if len(maps) == 2:
            for name, guided in self._attention(filtered, kernels).items():
                fields[f"guided_{name}_attention"] = guided.unflatten(0, (-1, num_clips))

        return self._add_fields(data_samples, fields)


def _check_negatives(data_samples: list[ActionDataSample], batch_size: int) -> None:
    """See that the batch of all ranks has two videos, or nothing would be learned from it."""
    # Other ranks' row numbers are on the device: waiting for them at each step costs more.
    whole = len(data_samples) == batch_size
    if batch_size == 1 or (whole and len({sample.sample_idx for sample in data_samples}) == 1):
        raise ValueError(
            f"the batch has {batch_size} clip(s) of one video: with queue_size=0 its negatives are "
            "other videos of the same batch, and there are none; use a batch_size of 2 or more, "
            "and drop_last=True if the last batch of an epoch is the one, or set queue_size"
        )
