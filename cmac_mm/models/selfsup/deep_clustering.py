"""Deep clustering within and across modalities (Alwassel et al. 2020): SDC, MDC, CDC, XDC."""

import copy
from collections.abc import Mapping

import numpy as np
import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor

from ...utils import Watch
from ..encoder_model import add_fields, average_clips
from ..layers import global_average_pool
from .audio_visual_model import AudioVisualModel
from .list_bound import ListBound


@MODELS.register_module()
class DeepClustering(ListBound, AudioVisualModel):
    """Deep clustering: encoders that classify the cluster of each video.

    Training alternates: the features of all training videos are clustered with k-means, and the
    encoders are trained to classify the clusters, with new classification layers. One such turn is
    a *round*; ``ClusteringHook`` does what lies between epochs. Features are globally
    average-pooled last feature maps. Who learns from whose clusters is told by the head's
    ``supervision``; it may name a second encoder of the one modality that there is, such as
    ``visual_2``, which is built like the first. What is evaluated is the first.

    The buffers ``labels_<source>`` hold the cluster of each video of the training list (-1: left
    out), ``centroids_<source>`` the clusters' centres, ``round`` the number of the round, counted
    from 0 (-1: none yet). A checkpoint of another list is refused, as with :class:`AVID`.

    Args:
        head (dict): Config of :class:`ClusterHead`.
        visual_backbone (dict, optional): Any backbone that returns `(B, C, T, H, W)`.
        audio_backbone (dict, optional): Any backbone that returns `(B, C, F, T)`.
        data_preprocessor (dict, optional): Config of :class:`AudioVisualDataPreprocessor`.
        init_cfg (dict | list, optional): MMEngine initialisation.
        balance_own (bool): Weigh each layer's samples so that it learns from its own clustering
            alone, balanced over its clusters, where :class:`ClusterBalancedSampler` balances a part
            of the epoch over each clustering. For SDC, whose encoders know nothing of each other.
            Defaults to False: all layers take the samples as they come.

    Raises:
        ValueError: If the head's ``supervision`` does not fit the backbones.
    """

    bound_name = "cluster labels"

    def __init__(
        self,
        head: dict,
        visual_backbone: dict | None = None,
        audio_backbone: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
        balance_own: bool = False,
    ) -> None:
        super().__init__(head, None, visual_backbone, audio_backbone, data_preprocessor, init_cfg)
        self.balance_own = balance_own
        self._sizes = {source: Watch(_cluster_sizes) for source in self.sources}
        first, second = set(self.modalities), {f"{name}_2" for name in self.modalities}
        if set(self.encoders) != first and not (
            len(first) == 1 and set(self.encoders) == first | second
        ):
            raise ValueError(
                "supervision needs one entry for each backbone's encoder, or with a single "
                "backbone also one for a second encoder such as 'visual_2': the backbones are "
                f"{sorted(first)}, the entries {sorted(self.encoders)}"
            )
        for name in second & set(self.encoders):
            backbone = MODELS.build(copy.deepcopy(visual_backbone or audio_backbone))
            self.add_module(f"{name}_backbone", backbone)
        self.round: Tensor
        self.register_buffer("round", torch.tensor(-1))
        for source in self.sources:
            self.register_buffer(f"labels_{source}", torch.zeros(0, dtype=torch.int32))
            self.register_buffer(f"centroids_{source}", torch.zeros(0, 0))
        self.row_buffers = tuple(f"labels_{source}" for source in self.sources)
        self._current_round = Watch(int)

    @property
    def encoders(self) -> tuple[str, ...]:
        """Names of the encoders, such as ``('visual', 'audio')``."""
        return tuple(self.head.supervision)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the clusterings: encoders, or ``'joint'``; each once."""
        return self.head.sources

    @property
    def current_round(self) -> int:
        """Number of the round, -1 before the first; waits for the device only after a change."""
        return self._current_round(self.round)

    def labels(self, source: str) -> Tensor:
        """Get the cluster of each video `(N,)`, int32, -1 for those left out."""
        return getattr(self, f"labels_{source}")

    def begin_round(
        self,
        number: int,
        labels: Mapping[str, np.ndarray],
        centroids: Mapping[str, np.ndarray],
        seed: int,
    ) -> list[nn.Parameter]:
        """Set new clusters, and reset the head.

        Args:
            number (int): The round, counted from 0.
            labels (Mapping[str, np.ndarray]): For each source the videos' clusters `(N,)`.
            centroids (Mapping[str, np.ndarray]): For each source the centres `(k, D)`.
            seed (int): Seed of the run; the head depends on it, the round, and nothing else.

        Returns:
            list[nn.Parameter]: What was reset; the optimiser should forget about it.
        """
        for source in self.sources:
            self.labels(source).copy_(torch.from_numpy(labels[source]))
            old = getattr(self, f"centroids_{source}")
            new = torch.from_numpy(centroids[source]).to(old)
            setattr(self, f"centroids_{source}", new)
        self.round.fill_(number)
        self.head.reset(seed, number)
        return list(self.head.parameters())

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Take the number of stored centroids."""
        for source in self.sources:
            name = f"centroids_{source}"
            if prefix + name in state_dict:
                setattr(self, name, getattr(self, name).new_empty(state_dict[prefix + name].shape))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _features(self, clips: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pooled features `(B, C)` of each encoder."""
        inputs = {name: clips.get(name.removesuffix("_2")) for name in self.encoders}
        maps = self._encode({name: x for name, x in inputs.items() if x is not None})
        return {name: global_average_pool(x) for name, x in maps.items()}

    def loss(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None
    ) -> dict[str, Tensor]:
        """Compute the parts of the loss.

        Returns:
            dict[str, Tensor]: For each layer of the head ``loss_<encoder>_by_<source>``, which
            MMEngine sums, and ``top1_<encoder>_by_<source>``, which is logged only.
        """
        (clips,) = self._training_clips(inputs)
        batch = self._rank_batch(data_samples, clips)
        if self.num_videos == 0 or self.current_round < 0:
            raise RuntimeError(
                "DeepClustering has no clusters yet: put dict(type='ClusteringHook') into "
                "custom_hooks"
            )
        self._check_rows(batch)
        labels = {source: self.labels(source)[batch.rows].long() for source in self.sources}
        weights = self._weights(labels) if self.balance_own and self.training else None
        losses, logs = self.head.loss(self._features(clips), labels, weights)
        return {**{name: batch.weight * loss for name, loss in losses.items()}, **logs}

    def _weights(self, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        """How much more often a sample would come if the epoch were balanced over one source alone.

        Args:
            labels (dict[str, Tensor]): Clusters `(B,)` in each source.

        Returns:
            dict[str, Tensor]: `(B,)` of each source, 1 on average over an epoch.
        """
        chances = {}
        for source, own in labels.items():
            sizes = self._sizes[source](self.labels(source))
            chances[source] = 1 / (sizes[own.clamp_min(0)] * (sizes > 0).sum())
        as_drawn = sum(chances.values()) / len(chances)
        return {source: chance / as_drawn for source, chance in chances.items()}

    @torch.no_grad()
    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None = None
    ) -> list[ActionDataSample]:
        """Compute features.

        Returns:
            list[ActionDataSample]: The data samples with, for each encoder, ``visual_feature``
            `(C,)` and so on, globally average-pooled and averaged over clips.
        """
        clips, num_clips = self.split_clips(inputs)
        fields = {
            f"{name}_feature": average_clips(feature, num_clips)
            for name, feature in self._features(clips).items()
        }
        return add_fields(data_samples, fields)


def _cluster_sizes(labels: Tensor) -> Tensor:
    """Videos in each cluster, up to the last that has any."""
    return torch.bincount(labels[labels >= 0]).float()
