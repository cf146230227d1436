"""Base class of models with encoders."""

from collections.abc import Mapping

import torch.nn.functional as F
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModel
from torch import Tensor

_INPUT_KEYS = {"visual": "imgs", "audio": "audio"}
_NUM_AXES = {"visual": 5, "audio": 4}


class EncoderModel(BaseModel):
    """Model with one or two encoders.

    Subclasses set ``modalities`` and implement ``extract`` and ``predict``, and ``loss`` if they
    are trained. :meth:`forward` wants the inputs of all modalities; ``predict``, where it is called
    itself, does with those that are there, as a video may have no sound.

    Args:
        data_preprocessor (dict, optional): Config of :class:`AudioVisualDataPreprocessor`.
        init_cfg (dict | list, optional): MMEngine initialisation.
    """

    modalities: tuple[str, ...]

    def __init__(
        self, data_preprocessor: dict | None = None, init_cfg: dict | list | None = None
    ) -> None:
        if data_preprocessor is not None:  # MMEngine looks only where the default scope points
            data_preprocessor = MODELS.build(data_preprocessor)
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)

    def forward(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[ActionDataSample] | None = None,
        mode: str = "tensor",
    ) -> Tensor | dict[str, Tensor] | list[ActionDataSample]:
        """Run the model.

        Args:
            inputs (dict[str, Tensor]): ``imgs`` `(B, 3, T, H, W)` and ``audio`` `(B, 1, F, T)`,
                normalised, or with a clip axis after the batch `(B, N, ...)`; what the model has
                no encoder for may be absent.
            data_samples (list[ActionDataSample], optional): One a video; ``mode='loss'`` needs
                their ``sample_idx``, the video's row number.
            mode (str): ``'tensor'`` calls ``extract(inputs)``, ``'predict'`` and ``'loss'`` the
                methods of these names with inputs and data samples.

        Returns:
            Tensor | dict[str, Tensor] | list[ActionDataSample]: See the method that is called.

        Raises:
            ValueError: If the mode is unknown or an input is missing or of the wrong shape.
        """
        for name in self.modalities:
            if _INPUT_KEYS[name] not in inputs:
                raise ValueError(f"inputs lack {_INPUT_KEYS[name]!r}, got {sorted(inputs)}")
        if mode == "tensor":
            return self.extract(inputs)
        if mode in ("predict", "loss") and hasattr(self, mode):
            return getattr(self, mode)(inputs, data_samples)
        raise ValueError(
            f"mode must be 'tensor', 'predict' or, for what is trained, 'loss', got {mode!r} for "
            f"{type(self).__name__}"
        )

    def split_clips(self, inputs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], int]:
        """Move a clip axis into the batch axis.

        Args:
            inputs (Mapping[str, Tensor]): See :meth:`forward`.

        Returns:
            tuple[dict[str, Tensor], int]: For each modality that is there the clips
            `(B * N, ...)`; and N.

        Raises:
            ValueError: If an input has other axes, or the modalities differ in N.
        """
        clips, counts = {}, {}
        for name in self.modalities:
            if _INPUT_KEYS[name] not in inputs:
                continue
            x = inputs[_INPUT_KEYS[name]]
            num_axes = _NUM_AXES[name]
            if x.ndim not in (num_axes, num_axes + 1):
                raise ValueError(
                    f"{_INPUT_KEYS[name]} must have {num_axes} axes, or {num_axes + 1} with "
                    f"several clips a video, got shape {tuple(x.shape)}"
                )
            with_clips = x.ndim == num_axes + 1
            counts[name] = x.shape[1] if with_clips else 1
            clips[name] = x.flatten(0, 1) if with_clips else x
        if len(set(counts.values())) != 1:
            raise ValueError(f"video and audio differ in their number of clips: {counts}")
        return clips, next(iter(counts.values()))


def average_clips(vectors: Tensor, num_clips: int, normalize: bool = False) -> Tensor:
    """Average vectors over the clips of each video, in float32.

    Args:
        vectors (Tensor): `(B * num_clips, C)`.
        num_clips (int): Clips a video.
        normalize (bool): Scale the means to length 1. Defaults to False.

    Returns:
        Tensor: `(B, C)`.
    """
    mean = vectors.float().unflatten(0, (-1, num_clips)).mean(dim=1)
    return F.normalize(mean, dim=1) if normalize else mean


def add_fields(
    data_samples: list[ActionDataSample] | None, fields: Mapping[str, Tensor]
) -> list[ActionDataSample]:
    """Put row i of each field into data sample i.

    Args:
        data_samples (list[ActionDataSample], optional): One a video; None for new ones.
        fields (Mapping[str, Tensor]): `(B, ...)` each.

    Returns:
        list[ActionDataSample]: The samples.
    """
    if data_samples is None:
        data_samples = [ActionDataSample() for _ in next(iter(fields.values()))]
    for index, sample in enumerate(data_samples):
        for key, value in fields.items():
            sample.set_field(value[index], key)
    return data_samples
