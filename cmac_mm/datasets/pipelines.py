"""Test pipelines of one modality, taken from those of both."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

SOUND_STEPS = (
    "AVIDSpectrogram",
    "GDTSpectrogram",
    "LogMelSpectrogram",
    "SpecAugment",
    "VolumeJitter",
)
"""Transforms that read and change sound only."""
_BOTH = ("OpenAudioVisual", "SampleClips", "DecodeAudioVisual", "PackAudioVisual")


def is_for(step: str, modalities: Collection[str]) -> bool:
    """Whether a transform is needed for some modalities.

    Args:
        step (str): Name of the transform.
        modalities (Collection[str]): ``'visual'``, ``'audio'`` or both.
    """
    return step in _BOTH or ("audio" if step in SOUND_STEPS else "visual") in modalities


def pipeline_for(pipeline: Sequence[Mapping], modalities: Collection[str]) -> list[dict]:
    """Keep the transforms of a pipeline that one modality needs.

    Args:
        pipeline (Sequence[Mapping]): Configs of the transforms, ``OpenAudioVisual`` and so on.
        modalities (Collection[str]): ``'visual'``, ``'audio'`` or both.

    Returns:
        list[dict]: Those that have work to do. ``OpenAudioVisual`` opens what is wanted, and for
        sound alone a clip is as long as its sound.
    """
    steps = []
    for step in map(dict, pipeline):
        name = step["type"]
        if not is_for(name, modalities):
            continue
        if name == "OpenAudioVisual":
            step |= {
                "need_video": "visual" in modalities,
                "need_audio": "audio" in modalities,
            }
        if name == "SampleClips" and "visual" not in modalities and step.get("audio_duration"):
            step["duration"] = step.pop("audio_duration")
        steps.append(step)
    return steps
