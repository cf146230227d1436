"""An encoder alone, as what judges its features needs it."""

from pathlib import Path

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModel
from torch import Tensor

from ..utils import load_weights
from .feature_map import run_encoder
from .layers import global_average_pool

_INPUT_KEYS = {"visual": "imgs", "audio": "audio"}
_NUM_AXES = {"visual": 5, "audio": 4}
_POOLINGS = ("avg", "max", "max2", "none")


def pool_feature_map(feature_map: Tensor, pooling: str) -> Tensor:
    """Turn a feature map into one vector a clip.

    Args:
        feature_map (Tensor): Picture `(B, C, T, H, W)` or sound `(B, C, F, T)`.
        pooling (str): ``'avg'`` or ``'max'`` over all positions; ``'max2'``: max pooling with
            kernel and stride 2, flattened (SeLaVi's retrieval); ``'none'``: flattened as it is.

    Returns:
        Tensor: `(B, C)`, or `(B, C * positions)` where flattened.

    Raises:
        ValueError: If the pooling is unknown, or the map too small for ``'max2'``.
    """
    if pooling == "avg":
        return global_average_pool(feature_map)
    if pooling == "max":
        return feature_map.flatten(2).amax(dim=2)
    if pooling == "max2":
        if min(feature_map.shape[2:]) < 2:
            raise ValueError(
                f"pooling 'max2' needs 2 or more positions along each axis, got a feature map of "
                f"{tuple(feature_map.shape[2:])}"
            )
        pool = F.max_pool3d if feature_map.ndim == 5 else F.max_pool2d
        return pool(feature_map, 2).flatten(1)
    if pooling == "none":
        return feature_map.flatten(1)
    raise ValueError(f"pooling must be one of {', '.join(_POOLINGS)}, got {pooling!r}")


@MODELS.register_module()
class FeatureExtractor(BaseModel):
    """One encoder that gives features of videos or recordings, and nothing else.

    Args:
        backbone (dict): Any backbone, see :func:`run_encoder`.
        modality (str): ``'visual'`` (reads the input ``imgs``) or ``'audio'`` (reads ``audio``).
            Default: ``'visual'``.
        pooling (str): How a feature map becomes a vector, see :func:`pool_feature_map`.
            Default: ``'avg'``.
        normalize_clips (bool): Scale each clip's feature to unit length (before averaging).
            Default: False.
        average_clips (bool): Average the clips of a sample; otherwise they stay apart.
            Default: True.
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
        if modality not in _INPUT_KEYS:
            raise ValueError(f"modality must be 'visual' or 'audio', got {modality!r}")
        if pooling not in _POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(_POOLINGS)}, got {pooling!r}")
        if data_preprocessor is not None:  # MMEngine looks only where the default scope points
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.modality = modality
        self.pooling = pooling
        self.normalize_clips = normalize_clips
        self.average_clips = average_clips

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[ActionDataSample] | None = None,
        mode: str = "tensor",
    ) -> Tensor | list[ActionDataSample]:
        """Run the encoder.

        Args:
            inputs (dict[str, Tensor]): ``imgs`` `(B, 3, T, H, W)` or ``audio`` `(B, 1, F, T)`,
                normalised, or with a clip axis after the batch `(B, N, ...)`.
            data_samples (list[ActionDataSample], optional): One a sample.
            mode (str): ``'tensor'`` returns the features, ``'predict'`` puts them into the data
                samples. There is no loss.

        Returns:
            Tensor | list[ActionDataSample]: Features `(B, C)`, or `(B, N, C)` if
            ``average_clips`` is False; or the data samples with ``visual_feature`` or
            ``audio_feature``, `(C,)` or `(N, C)` each.

        Raises:
            ValueError: If the mode is another one, or the input is missing or of a wrong shape.
        """
        if mode not in ("tensor", "predict"):
            raise ValueError(f"mode must be 'tensor' or 'predict', got {mode!r}")
        features = self.extract(inputs)
        if mode == "tensor":
            return features
        if data_samples is None:
            data_samples = [ActionDataSample() for _ in features]
        for sample, feature in zip(data_samples, features, strict=True):
            sample.set_field(feature, f"{self.modality}_feature")
        return data_samples

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
        """Features `(B, C)`, or `(B, N, C)`, in float32; see :meth:`forward`."""
        key, num_axes = _INPUT_KEYS[self.modality], _NUM_AXES[self.modality]
        if key not in inputs:
            raise ValueError(f"inputs lack {key!r}, got {sorted(inputs)}")
        x = inputs[key]
        if x.ndim not in (num_axes, num_axes + 1):
            raise ValueError(
                f"{key} must have {num_axes} axes, or {num_axes + 1} with several clips a sample, "
                f"got shape {tuple(x.shape)}"
            )
        num_clips = x.shape[1] if x.ndim == num_axes + 1 else 1
        feature_map = run_encoder(self.backbone, x.flatten(0, 1) if x.ndim == num_axes + 1 else x)
        features = pool_feature_map(feature_map, self.pooling).float()
        if self.normalize_clips:
            features = F.normalize(features, dim=1)
        features = features.unflatten(0, (-1, num_clips))
        return features.mean(dim=1) if self.average_clips else features
