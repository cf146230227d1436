"""What the methods have in common: two encoders, and how clips come to them."""

from abc import abstractmethod

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModel
from torch import Tensor

from ..feature_map import run_encoder

_INPUT_KEYS = {"visual": "imgs", "audio": "audio"}
_NUM_AXES = {"visual": 5, "audio": 4}


class AudioVisualModel(BaseModel):
    """A visual encoder, an audio encoder, or both.

    Args:
        visual_backbone (dict, optional): Any backbone that returns `(B, C, T, H, W)`.
        audio_backbone (dict, optional): Any backbone that returns `(B, C, F, T)`.
        data_preprocessor (dict, optional): Config of :class:`AudioVisualDataPreprocessor`.
        init_cfg (dict | list, optional): MMEngine initialisation.

    Raises:
        ValueError: If there is no backbone.
    """

    def __init__(
        self,
        visual_backbone: dict | None = None,
        audio_backbone: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        if data_preprocessor is not None:  # MMEngine looks only where the default scope points
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        backbones = {"visual": visual_backbone, "audio": audio_backbone}
        self.modalities = tuple(name for name, cfg in backbones.items() if cfg is not None)
        if not self.modalities:
            raise ValueError(
                f"{type(self).__name__} needs a visual_backbone, an audio_backbone or both"
            )
        for name in self.modalities:
            self.add_module(f"{name}_backbone", MODELS.build(backbones[name]))
        self.channels: dict[str, int]  # of each encoder's feature map; set by the methods

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[ActionDataSample] | None = None,
        mode: str = "tensor",
    ) -> dict[str, Tensor] | list[ActionDataSample]:
        """Run the model.

        Args:
            inputs (dict[str, Tensor]): ``imgs`` `(B, 3, T, H, W)` and ``audio`` `(B, 1, F, T)`,
                normalised, or with a clip axis after the batch `(B, N, ...)`.
            data_samples (list[ActionDataSample], optional): One a video; ``mode='loss'`` needs
                their ``sample_idx``, the video's row number.
            mode (str): ``'tensor'`` returns the feature maps, ``'loss'`` the parts of the loss and
                what else is logged, ``'predict'`` data samples with what the model says of them.

        Returns:
            dict[str, Tensor] | list[ActionDataSample]: Depends on ``mode``.

        Raises:
            ValueError: If the mode is unknown or an input is missing or of the wrong shape.
        """
        for name in self.modalities:
            if _INPUT_KEYS[name] not in inputs:
                raise ValueError(f"inputs lack {_INPUT_KEYS[name]!r}, got {sorted(inputs)}")
        if mode == "tensor":
            clips, _ = self._split_clips(inputs)
            return {f"{name}_map": self._encode(name, clips[name]) for name in clips}
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(inputs, data_samples)
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', got {mode!r}")

    @abstractmethod
    def loss(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None
    ) -> dict[str, Tensor]:
        """Parts of the loss, whose keys contain ``loss``, and what else is logged."""

    @abstractmethod
    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[ActionDataSample] | None = None
    ) -> list[ActionDataSample]:
        """The data samples with features and embeddings."""

    def _split_clips(self, inputs: dict[str, Tensor]) -> tuple[dict[str, Tensor], int]:
        """Move a clip axis into the batch axis; also returns the number of clips."""
        clips, counts = {}, set()
        for name in self.modalities:
            x = inputs[_INPUT_KEYS[name]]
            num_axes = _NUM_AXES[name]
            if x.ndim not in (num_axes, num_axes + 1):
                raise ValueError(
                    f"{_INPUT_KEYS[name]} must have {num_axes} axes, or {num_axes + 1} with "
                    f"several clips a video, got shape {tuple(x.shape)}"
                )
            with_clips = x.ndim == num_axes + 1
            counts.add(x.shape[1] if with_clips else 1)
            clips[name] = x.flatten(0, 1) if with_clips else x
        if len(counts) != 1:
            raise ValueError(f"picture and sound differ in their number of clips: {counts}")
        return clips, counts.pop()

    def _encode(self, modality: str, x: Tensor) -> Tensor:
        """Last feature map of one encoder."""
        backbone = getattr(self, f"{modality}_backbone")
        feature_map = run_encoder(backbone, x)
        found, told = feature_map.shape[1], self.channels[modality]
        if found != told:
            option = f"{modality.removesuffix('_2')}_channels"
            raise ValueError(
                f"{type(backbone).__name__} returned a feature map of {found} channels, shape "
                f"{tuple(feature_map.shape)}: set {option}={found}, it is {told}"
            )
        return feature_map

    def _sample_idx(self, data_samples: list[ActionDataSample] | None, batch_size: int) -> Tensor:
        """Row numbers of the batch's videos `(B,)`."""
        if data_samples is None or len(data_samples) != batch_size:
            raise ValueError(f"mode='loss' needs one data sample for each of {batch_size} videos")
        if any("sample_idx" not in sample for sample in data_samples):
            raise ValueError(
                "data samples lack 'sample_idx', the video's row number in its list: use "
                "AudioVisualDataset and PackAudioVisual"
            )
        rows = torch.tensor([int(sample.sample_idx) for sample in data_samples])
        return rows.to(next(self.parameters()).device, non_blocking=True)

    @staticmethod
    def _add_fields(
        data_samples: list[ActionDataSample] | None, fields: dict[str, Tensor]
    ) -> list[ActionDataSample]:
        """Put row i of each field `(B, ...)` into data sample i."""
        batch_size = len(next(iter(fields.values())))
        if data_samples is None:
            data_samples = [ActionDataSample() for _ in range(batch_size)]
        for index, sample in enumerate(data_samples):
            for key, value in fields.items():
                sample.set_field(value[index], key)
        return data_samples
