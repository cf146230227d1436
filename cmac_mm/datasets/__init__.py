"""Data sets and transforms; importing this registers them."""

from .audio_visual_dataset import AudioVisualDataset
from .av_reader import MediaError, MediaFile
from .transforms import (
    DecodeAudioVisual,
    LogMelSpectrogram,
    OpenAudioVisual,
    PackAudioVisual,
    PerClip,
    SampleClips,
    SpecAugment,
)

__all__ = [
    "AudioVisualDataset",
    "DecodeAudioVisual",
    "LogMelSpectrogram",
    "MediaError",
    "MediaFile",
    "OpenAudioVisual",
    "PackAudioVisual",
    "PerClip",
    "SampleClips",
    "SpecAugment",
]
