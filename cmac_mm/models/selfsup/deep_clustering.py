"""Deep clustering within and across modalities (Alwassel et al. 2020): SDC, MDC, CDC, XDC."""

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn as nn
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from torch import Tensor

from ...utils import Watch, refuse_other_list
from ...utils.dist import batch_weight
from ..heads.cluster_head import ClusterHead
from ..layers import global_average_pool
from .audio_visual_model import AudioVisualModel

JOINT = "joint"
_DIGEST_BYTES = 32


@MODELS.register_module()
class DeepClustering(AudioVisualModel):
    """Encoders that learn to tell the cluster that each video is in.

    Training alternates: the features of all training videos are clustered with k-means, and the
    encoders are trained to classify the clusters, with new classification layers. One such turn is
    a *round*; ``ClusteringHook`` does what lies between epochs. Who learns from whose clusters is
    told by ``supervision``, for each encoder a list of what it learns from:

    - SDC, the encoder's own clusters: ``dict(visual=['visual'], audio=['audio'])``;
    - MDC, own and the other's, with one head each:
      ``dict(visual=['visual', 'audio'], audio=['visual', 'audio'])``;
    - CDC, clusters of both encoders' L2-normalised features, put one after the other:
      ``dict(visual=['joint'], audio=['joint'])``;
    - XDC, the other's clusters alone: ``dict(visual=['audio'], audio=['visual'])``;
    - same-modality XDC, two encoders of one modality that start from different weights:
      ``dict(visual=['visual_2'], visual_2=['visual'])``, or the same with ``audio``. The second
      encoder is built like the first; what is evaluated is the first.

    The loss is the cross-entropy of each head. The heads of one encoder are averaged, the encoders
    summed, as they share nothing. Features are globally average-pooled last feature maps.

    The buffers ``labels_<source>`` hold the cluster of each video of the training list (-1: left
    out), ``centroids_<source>`` the clusters' centres, ``round`` the number of the round, counted
    from 0 (-1: none yet). A checkpoint of another list is refused, as with :class:`AVID`.

    Args:
        supervision (Mapping[str, Sequence[str]]): See above.
        num_clusters (int): k, for all that is clustered.
        visual_backbone (dict, optional): Any backbone that returns `(B, C, T, H, W)`.
        audio_backbone (dict, optional): Any backbone that returns `(B, C, F, T)`.
        visual_channels (int): Channels of the visual backbone. Default: 512.
        audio_channels (int): Channels of the audio backbone. Default: 512.
        data_preprocessor (dict, optional): Config of :class:`AudioVisualDataPreprocessor`.
        init_cfg (dict | list, optional): MMEngine initialisation.

    Raises:
        ValueError: If ``supervision`` does not fit the backbones, or ``num_clusters`` is below 2.
    """

    def __init__(
        self,
        supervision: Mapping[str, Sequence[str]],
        num_clusters: int,
        visual_backbone: dict | None = None,
        audio_backbone: dict | None = None,
        visual_channels: int = 512,
        audio_channels: int = 512,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(visual_backbone, audio_backbone, data_preprocessor, init_cfg)
        self.supervision = {name: tuple(sources) for name, sources in supervision.items()}
        self._check_supervision()
        if num_clusters < 2:
            raise ValueError(f"num_clusters must be at least 2, got {num_clusters}")
        self.num_clusters = num_clusters
        backbones = {"visual": visual_backbone, "audio": audio_backbone}
        channels = {"visual": visual_channels, "audio": audio_channels}
        for name in self.supervision:
            if name not in self.modalities:
                backbone = MODELS.build(copy.deepcopy(backbones[_modality(name)]))
                self.add_module(f"{name}_backbone", backbone)
        self.channels = {name: channels[_modality(name)] for name in self.supervision}
        self.heads = nn.ModuleDict(
            {
                _head(name, source): ClusterHead(self.channels[name], num_clusters)
                for name, sources in self.supervision.items()
                for source in sources
            }
        )
        self.round: Tensor
        self.list_digest: Tensor
        self.register_buffer("round", torch.tensor(-1))
        self.register_buffer("list_digest", torch.zeros(_DIGEST_BYTES, dtype=torch.uint8))
        for source in self.sources:
            self.register_buffer(f"labels_{source}", torch.zeros(0, dtype=torch.int32))
            self.register_buffer(f"centroids_{source}", torch.zeros(0, 0))
        self._current_round = Watch(int)

    def _check_supervision(self) -> None:
        first, second = set(self.modalities), {f"{name}_2" for name in self.modalities}
        encoders = set(self.supervision)
        single = len(first) == 1 and encoders == first | second
        if encoders != first and not single:
            raise ValueError(
                "supervision needs one entry for each backbone's encoder, or with a single "
                "backbone also one for a second encoder such as 'visual_2': the backbones are "
                f"{sorted(first)}, the entries {sorted(encoders)}"
            )
        known = {*encoders, JOINT} if len(encoders) > 1 else encoders
        for name, sources in self.supervision.items():
            if not sources or len(set(sources)) < len(sources) or not set(sources) <= known:
                raise ValueError(
                    f"supervision of {name!r} must be different ones of {sorted(known)}, "
                    f"got {list(sources)}"
                )

    @property
    def encoders(self) -> tuple[str, ...]:
        """Names of the encoders, such as ``('visual', 'audio')``."""
        return tuple(self.supervision)

    @property
    def sources(self) -> tuple[str, ...]:
        """What is clustered: encoders, or ``'joint'``; each once."""
        return tuple(dict.fromkeys(s for sources in self.supervision.values() for s in sources))

    @property
    def num_videos(self) -> int:
        """Rows of the labels; 0 if nobody has told yet."""
        return len(self.labels(self.sources[0]))

    @property
    def current_round(self) -> int:
        """Number of the round, -1 if there is none yet; waits for the device only if it changed."""
        return self._current_round(self.round)

    def labels(self, source: str) -> Tensor:
        """Cluster of each video `(N,)`, int32, -1 for those left out."""
        return getattr(self, f"labels_{source}")

    def bind_list(self, num_videos: int, digest: bytes, seed: int) -> None:
        """Make place for the labels of a list of videos.

        Args:
            num_videos (int): Number of videos.
            digest (bytes): 32 bytes that tell the list from others. A checkpoint of another list
                is refused from now on.
            seed (int): Not used.
        """
        for source in self.sources:
            labels = self.labels(source)
            setattr(self, f"labels_{source}", labels.new_full((num_videos,), -1))
        self.list_digest.copy_(torch.frombuffer(bytearray(digest), dtype=torch.uint8))

    def begin_round(
        self,
        number: int,
        labels: Mapping[str, np.ndarray],
        centroids: Mapping[str, np.ndarray],
        seed: int,
    ) -> list[nn.Parameter]:
        """Take new clusters, and reset the heads.

        Args:
            number (int): The round, counted from 0.
            labels (Mapping[str, np.ndarray]): For each source the videos' clusters `(N,)`.
            centroids (Mapping[str, np.ndarray]): For each source the centres `(k, D)`.
            seed (int): Seed of the run; heads depend on it, the round, and nothing else.

        Returns:
            list[nn.Parameter]: What was reset; the optimiser should forget about it.
        """
        for source in self.sources:
            self.labels(source).copy_(torch.from_numpy(labels[source]))
            old = getattr(self, f"centroids_{source}")
            new = torch.from_numpy(centroids[source]).to(old)
            setattr(self, f"centroids_{source}", new)
        self.round.fill_(number)
        for index, head in enumerate(self.heads.values()):
            state = np.random.SeedSequence([seed, number, index]).generate_state(1)
            head.reset(torch.Generator().manual_seed(int(state[0])))
        return list(self.heads.parameters())

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """See that stored labels belong to the list, and take the size of those where none is set.

        Raises:
            RuntimeError: If the labels belong to another list.
        """
        sizes = [
            len(state_dict[f"{prefix}labels_{source}"])
            for source in self.sources
            if f"{prefix}labels_{source}" in state_dict
        ]
        if sizes:
            refuse_other_list(
                "clusters",
                (sizes[0], bytes(state_dict[f"{prefix}list_digest"].tolist())),
                (self.num_videos, bytes(self.list_digest.tolist())),
            )
        for source in self.sources:
            for name in (f"labels_{source}", f"centroids_{source}"):
                stored, buffer = state_dict.get(prefix + name), getattr(self, name)
                if stored is not None and stored.shape != buffer.shape:
                    setattr(self, name, buffer.new_empty(stored.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _features(self, clips: dict[str, Tensor]) -> dict[str, Tensor]:
        """Pooled features `(B, C)` of each encoder."""
        return {
            name: global_average_pool(self._encode(name, clips[_modality(name)]))
            for name in self.encoders
        }

    def loss(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None
    ) -> dict[str, Tensor]:
        """Parts of the loss.

        Returns:
            dict[str, Tensor]: For each head ``loss_<encoder>_by_<source>``, which MMEngine sums,
            and ``top1_<encoder>_by_<source>``, which is logged only.
        """
        clips, num_clips = self._split_clips(inputs)
        if num_clips != 1:
            raise ValueError(
                f"DeepClustering trains on one clip a video, got {num_clips}: for more clips an "
                "epoch set repeats of the sampler"
            )
        sample_idx = self._sample_idx(data_samples, len(next(iter(clips.values()))))
        self._check_rows(data_samples)
        weight = batch_weight(data_samples)
        losses: dict[str, Tensor] = {}
        for name, feature in self._features(clips).items():
            sources = self.supervision[name]
            for source in sources:
                head = _head(name, source)
                loss, top1 = self.heads[head](feature, self.labels(source)[sample_idx].long())
                losses[f"loss_{head}"] = weight / len(sources) * loss
                losses[f"top1_{head}"] = top1
        return losses

    def _check_rows(self, data_samples: list[ActionDataSample]) -> None:
        if self.num_videos == 0 or self.current_round < 0:
            raise RuntimeError(
                "DeepClustering has no clusters yet: put dict(type='ClusteringHook') into "
                "custom_hooks"
            )
        last = max(int(sample.sample_idx) for sample in data_samples)
        if last >= self.num_videos:
            raise ValueError(f"sample_idx {last} is outside the labels of {self.num_videos} videos")

    @torch.no_grad()
    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None = None
    ) -> list[ActionDataSample]:
        """Features.

        Returns:
            list[ActionDataSample]: The data samples with, for each encoder, ``visual_feature``
            `(C,)` and so on, globally average-pooled and averaged over clips.
        """
        clips, num_clips = self._split_clips(inputs)
        fields = {
            f"{name}_feature": feature.float().unflatten(0, (-1, num_clips)).mean(dim=1)
            for name, feature in self._features(clips).items()
        }
        return self._add_fields(data_samples, fields)


def _modality(encoder: str) -> str:
    """What an encoder reads: ``'visual_2'`` is ``'visual'``."""
    return encoder.removesuffix("_2")


def _head(encoder: str, source: str) -> str:
    return f"{encoder}_by_{source}"
