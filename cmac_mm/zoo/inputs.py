"""Inputs of encoders: clips, frame rates and spectrograms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from ..datasets.pipelines import SOUND_STEPS, pipeline_for
from ..models.feature_extractor import extractor_config


@dataclass(frozen=True, kw_only=True)
class VisualInput:
    """Video encoder, and the clips that it was trained on.

    Attributes:
        backbone (dict): Its config.
        pooling (str): How its feature map becomes a feature: ``'avg'`` or ``'max'``.
        mean (list[float]): Of red, green and blue on the scale 0 to 255.
        std (list[float]): On the same scale.
        frames (int): Frames a clip.
        fps (float): Frames a second.
        size (int): Height and width in pixels.
    """

    backbone: dict
    pooling: str
    mean: list[float]
    std: list[float]
    frames: int
    fps: float
    size: int


@dataclass(frozen=True, kw_only=True)
class AudioInput:
    """Audio encoder, and the waveforms that it was trained on.

    Attributes:
        backbone (dict): Its config.
        pooling (str): How its feature map becomes a feature: ``'avg'`` or ``'max'``.
        sample_rate (int): Sampling rate in Hz.
        duration (float): Length of a clip in seconds.
        spectrogram (dict): Config of the transform from waveform to spectrogram.
        mean (float): What is subtracted from the spectrogram, for the encoder.
        std (float): What it is then divided by.
    """

    backbone: dict
    pooling: str
    sample_rate: int
    duration: float
    spectrogram: dict
    mean: float
    std: float


def describe_inputs(cfg: Config) -> dict[str, VisualInput | AudioInput]:
    """Describe the inputs of a config's encoders, from its model and its test pipeline.

    Args:
        cfg (Config): Of a model with ``visual_backbone`` or ``audio_backbone`` or both, or a
            :class:`FeatureExtractor`.

    Returns:
        dict[str, VisualInput | AudioInput]: Under ``visual`` and ``audio``, what there is.
    """
    steps = {step["type"]: step for step in flat_pipeline(cfg.test_dataloader.dataset.pipeline)}
    clips, decoding = steps["SampleClips"], steps.get("DecodeAudioVisual", {})
    model = plain(cfg.model)
    preprocessor, pooling = model["data_preprocessor"], model.get("pooling", "avg")
    found: dict[str, VisualInput | AudioInput] = {}
    if (backbone := _backbone(model, "visual")) is not None:
        fps = decoding.get("fps", 30)
        found["visual"] = VisualInput(
            backbone=backbone,
            pooling=pooling,
            mean=preprocessor["mean"],
            std=preprocessor["std"],
            frames=decoding.get("clip_len") or round(clips["duration"] * fps),
            fps=fps,
            size=steps["CenterCrop"]["crop_size"],
        )
    if (backbone := _backbone(model, "audio")) is not None:
        (spectrogram,) = (step for name, step in steps.items() if name in SOUND_STEPS)
        found["audio"] = AudioInput(
            backbone=backbone,
            pooling=pooling,
            sample_rate=decoding.get("sample_rate", 24000),
            duration=clips.get("audio_duration") or clips["duration"],
            spectrogram=plain(spectrogram),
            mean=preprocessor.get("audio_mean", 0.0),
            std=preprocessor.get("audio_std", 1.0),
        )
    return found


def one_encoder(cfg: Config, modality: str) -> Config:
    """Make a config of one encoder, as a :class:`FeatureExtractor`, and its pipeline.

    Args:
        cfg (Config): See :func:`describe_inputs`.
        modality (str): ``'visual'`` or ``'audio'``.

    Raises:
        ValueError: If there is no such encoder.
    """
    cfg = deepcopy(cfg)
    cfg.model = extractor_config(cfg, modality)
    dataset = cfg.test_dataloader.dataset
    dataset.pipeline = pipeline_for(dataset.pipeline, [modality])
    return cfg


def _backbone(model: Mapping, modality: str) -> dict | None:
    if model["type"] == "FeatureExtractor":
        return model["backbone"] if model.get("modality", "visual") == modality else None
    return model.get(f"{modality}_backbone")


def flat_pipeline(pipeline: Sequence[MutableMapping]) -> Iterator[MutableMapping]:
    """List all transforms of a pipeline, with those inside of others."""
    for step in pipeline:
        yield step
        yield from flat_pipeline(step.get("transforms") or ())


def plain(value: Any) -> Any:
    """Convert a config, or a part of one, to plain dictionaries and lists."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value
