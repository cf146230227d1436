"""Feature extractor: a frozen encoder with pooling."""

from pathlib import Path

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from torch import Tensor

from ..utils import load_weights
from .encoder_model import EncoderModel, add_fields
from .feature_map import run_encoder
from .layers import POOLINGS, pool_feature_map


def extractor_config(cfg: Config, modality: str, pooling: str | None = None) -> dict:
    """Make the config of a :class:`FeatureExtractor` from one encoder of a config.

    Args:
        cfg (Config): Its model has ``visual_backbone``, ``audio_backbone`` or both, or is a
            :class:`FeatureExtractor`.
        modality (str): ``'visual'`` or ``'audio'``.
        pooling (str, optional): See :func:`pool_feature_map`. Defaults to None: that of the model,
            ``'avg'`` where it has none.

    Returns:
        dict: The config.

    Raises:
        ValueError: If the config has no such encoder.
    """
    model = cfg.model
    backbone = model.get(f"{modality}_backbone")
    if backbone is None and model.get("modality", "visual") == modality:
        backbone = model.get("backbone")
    preprocessor = model.get("data_preprocessor", {})
    if backbone is None or preprocessor.get("type") != "AudioVisualDataPreprocessor":
        raise ValueError(
            f"{cfg.filename}: expected a model with {modality}_backbone (or backbone) and an "
            f"AudioVisualDataPreprocessor, got {model.type} with {sorted(model)}"
        )
    return dict(
        type="FeatureExtractor",
        backbone=backbone,
        modality=modality,
        pooling=pooling or model.get("pooling", "avg"),
        data_preprocessor=preprocessor,
    )


@MODELS.register_module()
class FeatureExtractor(EncoderModel):
    """Frozen encoder that extracts features of videos or recordings.

    Args:
        backbone (dict): Any backbone, see :func:`run_encoder`.
        modality (str): ``'visual'`` (reads the input ``imgs``) or ``'audio'`` (reads ``audio``).
            Defaults to ``'visual'``.
        pooling (str): How a feature map becomes a vector, see :func:`pool_feature_map`.
            Defaults to ``'avg'``.
        normalize_clips (bool): Scale each clip's feature to unit length (before averaging).
            Defaults to False.
        average_clips (bool): Average the clips of a sample; otherwise they stay apart.
            Defaults to True.
        data_preprocessor (dict, optional): Config of :class:`AudioVisualDataPreprocessor`.
        init_cfg (dict | list, optional): MMEngine initialisation.

    Raises:
        ValueError: If the modality or the pooling is unknown.
    """

    def __init__(
        self,
        backbone: dict,
        modality: str = "visual",
        pooling: str = "avg",
        normalize_clips: bool = False,
        average_clips: bool = True,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        if modality not in ("visual", "audio"):
            raise ValueError(f"modality must be 'visual' or 'audio', got {modality!r}")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.modality = modality
        self.modalities = (modality,)
        self.pooling = pooling
        self.normalize_clips = normalize_clips
        self.average_clips = average_clips

    def load_encoder(self, checkpoint: str | Path, prefix: str | None = None) -> None:
        """Load the encoder's weights from a checkpoint; every weight must match.

        Args:
            checkpoint (str | Path): The file, read weights-only.
            prefix (str, optional): What the encoder's keys in the file start with, ``''`` for a
                plain state dict. Defaults to None: ``visual_backbone.`` or ``audio_backbone.``,
                as pretraining writes them.

        Raises:
            RuntimeError: If the weights do not match.
        """
        prefix = f"{self.modality}_backbone." if prefix is None else prefix
        load_weights(self.backbone, checkpoint, prefix)

    def extract(self, inputs: dict[str, Tensor]) -> Tensor:
        """Extract features in float32.

        Args:
            inputs (dict[str, Tensor]): See :meth:`forward`.

        Returns:
            Tensor: `(B, C)`, or `(B, N, C)` of N clips a sample if ``average_clips`` is False.
        """
        clips, num_clips = self.split_clips(inputs)
        feature_map = run_encoder(self.backbone, clips[self.modality])
        features = pool_feature_map(feature_map, self.pooling).float()
        if self.normalize_clips:
            features = F.normalize(features, dim=1)
        features = features.unflatten(0, (-1, num_clips))
        return features.mean(dim=1) if self.average_clips else features

    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None = None
    ) -> list[ActionDataSample]:
        """Set ``visual_feature`` or ``audio_feature`` in the data samples, see :meth:`extract`."""
        return add_fields(data_samples, {f"{self.modality}_feature": self.extract(inputs)})
