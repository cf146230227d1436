"""Head of deep clustering: classification layers."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from .cluster_classifier import ClusterClassifier

JOINT = "joint"


@MODELS.register_module()
class ClusterHead(BaseModule):
    """One classification layer for each encoder and each clustering that it learns from.

    Who learns from whose clusters is told by ``supervision`` (Alwassel et al. 2020, section 3),
    for each encoder a list of sources:

    - SDC, the encoder's own clusters: ``dict(visual=['visual'], audio=['audio'])``;
    - MDC, own and the other's: ``dict(visual=['visual', 'audio'], audio=['visual', 'audio'])``;
    - CDC, clusters of both encoders' L2-normalised features, put one after the other:
      ``dict(visual=['joint'], audio=['joint'])``;
    - XDC, the other's clusters alone: ``dict(visual=['audio'], audio=['visual'])``;
    - same-modality XDC, two encoders of one modality that start from different weights:
      ``dict(visual=['visual_2'], visual_2=['visual'])``, or the same with ``audio``.

    Args:
        supervision (Mapping[str, Sequence[str]]): See above.
        num_clusters (int): k, for all that is clustered.
        visual_channels (int): Channels of the visual backbone. Defaults to 512.
        audio_channels (int): Channels of the audio backbone. Defaults to 512.
        init_cfg (dict | list, optional): MMEngine initialisation. Defaults to None.

    Raises:
        ValueError: If an encoder has no source, or an unknown one, or one twice; or if
            ``num_clusters`` is below 2.
    """

    def __init__(
        self,
        supervision: Mapping[str, Sequence[str]],
        num_clusters: int,
        visual_channels: int = 512,
        audio_channels: int = 512,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.supervision = {name: tuple(sources) for name, sources in supervision.items()}
        known = {*self.supervision}
        if len(known) > 1:
            known.add(JOINT)
        for name, sources in self.supervision.items():
            if not sources or len(set(sources)) < len(sources) or not set(sources) <= known:
                raise ValueError(
                    f"supervision of {name!r} must be different ones of {sorted(known)}, the "
                    f"encoders with an entry of their own, got {list(sources)}"
                )
        if num_clusters < 2:
            raise ValueError(f"num_clusters must be at least 2, got {num_clusters}")
        self.num_clusters = num_clusters
        channels = {"visual": visual_channels, "audio": audio_channels}
        self.channels = {name: channels[name.removesuffix("_2")] for name in self.supervision}
        self.classifiers = nn.ModuleDict(
            {
                f"{name}_by_{source}": ClusterClassifier(self.channels[name], num_clusters)
                for name, sources in self.supervision.items()
                for source in sources
            }
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the clusterings: encoders, or ``'joint'``; each once."""
        return tuple(dict.fromkeys(s for sources in self.supervision.values() for s in sources))

    def reset(self, seed: int, number: int) -> None:
        """Reset all layers.

        Args:
            seed (int): Seed of the run.
            number (int): The round, counted from 0.
        """
        for index, classifier in enumerate(self.classifiers.values()):
            state = np.random.SeedSequence([seed, number, index]).generate_state(1)
            classifier.reset(torch.Generator().manual_seed(int(state[0])))

    def loss(
        self,
        features: dict[str, Tensor],
        labels: dict[str, Tensor],
        weights: dict[str, Tensor] | None = None,
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Compute the cross-entropy of each layer, averaged over the layers of an encoder.

        The encoders' losses are summed, as they share no weights.

        Args:
            features (dict[str, Tensor]): Pooled features `(B, C)` of each encoder.
            labels (dict[str, Tensor]): The videos' clusters `(B,)` in each source; -1 for a video
                that is in none.
            weights (dict[str, Tensor], optional): For each source what a sample counts `(B,)`.
                Defaults to None: 1.

        Returns:
            tuple[dict[str, Tensor], dict[str, Tensor]]: ``loss_<encoder>_by_<source>``, and for
            the log ``top1_<encoder>_by_<source>``.
        """
        losses, logs = {}, {}
        for name, sources in self.supervision.items():
            for source in sources:
                layer = f"{name}_by_{source}"
                weight = None if weights is None else weights[source]
                loss, top1 = self.classifiers[layer](features[name], labels[source], weight)
                losses[f"loss_{layer}"] = loss / len(sources)
                logs[f"top1_{layer}"] = top1
        return losses, logs
