"""Packing of clips for the model."""

from __future__ import annotations

import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmaction.structures import ActionDataSample
from mmcv.transforms import BaseTransform

META_KEYS = (
    "sample_idx",
    "filename",
    "clip_start",
    "audio_start",
    "clip_duration",
    "audio_duration",
    "original_shape",
    "img_shape",
    "crop_quadruple",
    "flip",
    "boxes",
    "consensus",
    "sample_seed",
    "global_batch_size",
    "batch_seed",
)


class _ClipSample(ActionDataSample):
    """A data sample whose label travels between processes by value.

    PyTorch would put each label into shared memory of its own, whose handle costs the receiving
    process more than all the rest of a batch.
    """

    def __getstate__(self) -> dict:
        state = dict(self.__dict__)
        if "gt_label" in state:
            state["gt_label"] = self.gt_label.tolist()
        return state

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        if "gt_label" in state:
            self.set_gt_label(state["gt_label"])


@TRANSFORMS.register_module()
class PackAudioVisual(BaseTransform):
    """Pack clips for the model; the last transform of a pipeline.

    Gives ``inputs`` with ``imgs``, a uint8 tensor ``(C, T, H, W)``, and ``audio``, a float32
    tensor ``(1, num_mels, frames)`` (each with a leading axis of clips where there are more than
    one, and only those that were read), and ``data_samples``, an :class:`ActionDataSample` with
    the label, if there is one, and the meta information. After ``ThreeCrop`` or ``TenCrop`` each
    crop of each clip is a clip of its own, all clips of the first crop first, as in MMAction2's
    ``FormatShape``.

    Args:
        meta_keys (Sequence[str]): Keys of the results to keep as meta information, where present.
            Defaults to ``META_KEYS``: the sample's row and file, the spans of its clips in
            seconds, how its pictures were scaled, cropped and flipped, the boxes of what sounds,
            and what the sampler said of it.

    Raises:
        ValueError: There are neither pictures nor sound, the pictures are not full clips, or there
            are several crops a clip beside sound.
    """

    def __init__(self, meta_keys: tuple[str, ...] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack the results of one sample."""
        inputs = {}
        if "imgs" in results:
            inputs["imgs"] = _stack(results["imgs"], results["num_clips"], results["clip_len"])
        if "audios" in results:
            inputs["audio"] = torch.as_tensor(results["audios"], dtype=torch.float32)
        if not inputs:
            raise ValueError("PackAudioVisual found neither 'imgs' nor 'audios' in the results")
        counts = {key: len(value) for key, value in inputs.items()}
        if len(set(counts.values())) > 1:
            raise ValueError(
                f"PackAudioVisual: picture and sound differ in their number of clips, {counts}: "
                "several crops of a clip, as of ThreeCrop, go without sound only"
            )
        if set(counts.values()) == {1}:
            inputs = {key: value[0] for key, value in inputs.items()}
        sample = _ClipSample()
        if "label" in results:
            sample.set_gt_label(results["label"])
        sample.set_metainfo({key: results[key] for key in self.meta_keys if key in results})
        return dict(inputs=inputs, data_samples=sample)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(meta_keys={self.meta_keys})"


def _stack(images: list[np.ndarray] | np.ndarray, num_clips: int, clip_len: int) -> torch.Tensor:
    """Stack (H, W, C) pictures to (crops * num_clips, C, T, H, W), with a single copy if any."""
    if isinstance(images, np.ndarray):
        return torch.from_numpy(images)
    if not len(images) or len(images) % (num_clips * clip_len):
        raise ValueError(
            f"PackAudioVisual: {len(images)} pictures are not {num_clips} clips of {clip_len} "
            "frames, nor several crops of them"
        )
    height, width, channels = images[0].shape
    out = np.empty((len(images) // clip_len, channels, clip_len, height, width), np.uint8)
    for index, image in enumerate(images):
        clip, time = divmod(index, clip_len)
        out[clip, :, time] = image.transpose(2, 0, 1)
    return torch.from_numpy(out)
