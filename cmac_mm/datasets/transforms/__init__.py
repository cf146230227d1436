"""Transforms of the audio-visual pipeline, registered in MMAction2's registry."""

from .audio import LogMelSpectrogram, SpecAugment
from .audio_loading import CropAudio, LoadAudio
from .avid_audio import AVIDSpectrogram, VolumeJitter
from .formatting import PackAudioVisual
from .gdt_audio import GDTSpectrogram
from .loading import DecodeAudioVisual, OpenAudioVisual
from .per_clip import PerClip
from .sampling import SampleClips
from .still import StillClip

__all__ = [
    "AVIDSpectrogram",
    "CropAudio",
    "DecodeAudioVisual",
    "GDTSpectrogram",
    "LoadAudio",
    "LogMelSpectrogram",
    "OpenAudioVisual",
    "PackAudioVisual",
    "PerClip",
    "SampleClips",
    "SpecAugment",
    "StillClip",
    "VolumeJitter",
]
