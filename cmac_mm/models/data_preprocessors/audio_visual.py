"""Data preprocessor: normalisation and colour jitter on the device."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import BaseDataElement
from torch import Tensor
from torchvision.transforms import v2


@MODELS.register_module()
class AudioVisualDataPreprocessor(BaseDataPreprocessor):
    """Move a batch to the device, jitter colours (training only) and normalise.

    Pictures travel as uint8, a quarter of their size as float32.

    Args:
        mean (Sequence[float]): Mean of red, green and blue on the scale 0 to 255. Defaults to
            (123.675, 116.28, 103.53).
        std (Sequence[float]): Standard deviation on the same scale. Defaults to
            (58.395, 57.12, 57.375).
        audio_mean (float): Mean of the log-mel spectrogram. Defaults to 0.
        audio_std (float): Its standard deviation. Defaults to 1.
        color_jitter (dict, optional): Arguments of ``torchvision.transforms.v2.ColorJitter``:
            brightness, contrast, saturation, hue. One draw a clip. Defaults to None, no jitter.
        non_blocking (bool): Do not wait for the transfer. Defaults to True.

    Raises:
        ValueError: If ``mean`` and ``std`` have not three values each.
    """

    def __init__(
        self,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        audio_mean: float = 0.0,
        audio_std: float = 1.0,
        color_jitter: dict | None = None,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        if len(mean) != 3 or len(std) != 3:
            raise ValueError(f"mean and std need three values each, got {mean} and {std}")
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1, 1), persistent=False)
        self.audio_mean = audio_mean
        self.audio_std = audio_std
        self.whole_numbers = False  # the last batch's pictures, before they were normalised
        self.jitter = v2.ColorJitter(**color_jitter) if color_jitter else None

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data (dict): ``inputs`` with ``imgs`` uint8 `(B, 3, T, H, W)` and / or ``audio``
                float32 `(B, 1, F, T)`, or with a clip axis `(B, N, ...)`, each one tensor or, as
                MMEngine's default collation leaves them, a list of B; and ``data_samples``.
            training (bool): Whether to jitter colours. Defaults to False.

        Returns:
            dict: The same with normalised float32 inputs on the device.

        Raises:
            ValueError: If ``inputs`` is something else, or the samples of a list differ in shape.
        """
        data = self.cast_data(data)
        if not isinstance(data["inputs"], Mapping):
            raise ValueError(
                f"inputs are a {type(data['inputs']).__name__}, expected a dict of 'imgs' and "
                "'audio': end the pipeline with PackAudioVisual"
            )
        inputs = {key: _as_batch(key, value) for key, value in data["inputs"].items()}
        if "imgs" in inputs:
            imgs = inputs["imgs"]
            jitter = training and self.jitter is not None
            self.whole_numbers = imgs.dtype == torch.uint8 and not jitter
            if imgs.ndim == 5:  # the encoders' memory format, while a pixel is one byte
                imgs = imgs.contiguous(memory_format=torch.channels_last_3d)
            imgs = imgs.float()
            if jitter:
                imgs = self._jitter_clips(imgs, data.get("data_samples"))
            inputs["imgs"] = self.normalize(imgs)
        if "audio" in inputs:
            inputs["audio"] = (inputs["audio"] - self.audio_mean) / self.audio_std
        return {**data, "inputs": inputs}

    def _jitter_clips(self, imgs: Tensor, data_samples: Sequence[BaseDataElement] | None) -> Tensor:
        """One draw of the colour jitter for each clip of `(B, ..., 3, T, H, W)`."""
        clips = imgs.transpose(-4, -3) / 255  # torchvision wants the colours behind the time
        for index, sample in enumerate(clips.unbind()):
            # A draw of the sample's own: the same on whichever rank it is.
            seed = data_samples[index].get("sample_seed") if data_samples else None
            with nullcontext() if seed is None else torch.random.fork_rng(devices=[]):
                if seed is not None:
                    torch.default_generator.manual_seed(seed)
                assert self.jitter is not None  # or this is not called
                for clip in sample.unbind() if sample.ndim == 5 else [sample]:
                    clip.copy_(self.jitter(clip))
        return (clips * 255).transpose(-4, -3)

    def normalize(self, imgs: Tensor) -> Tensor:
        """Normalise frames with values from 0 to 255, `(B, 3, T, H, W)`, to float32."""
        return (imgs.float() - self.mean) / self.std

    def to_bytes(self, imgs: Tensor) -> Tensor:
        """Undo :meth:`normalize`: uint8 pictures; exact where these were whole numbers."""
        return (imgs * self.std + self.mean).round().to(torch.uint8)


def _as_batch(key: str, samples: Tensor | Sequence[Tensor]) -> Tensor:
    """One tensor out of the samples of a batch, if it is not one yet."""
    if isinstance(samples, Tensor):
        return samples
    shapes = {tuple(sample.shape) for sample in samples}
    if len(shapes) != 1:
        raise ValueError(
            f"{key} of one batch must have one shape, got {sorted(shapes)}: crop or pad them "
            "alike, or use a batch of 1"
        )
    return torch.stack(list(samples))
