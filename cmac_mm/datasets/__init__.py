"""Datasets, samplers and transforms of training and evaluation; importing this registers them."""

from .audio_clip_dataset import AudioClipDataset
from .audio_visual_dataset import AudioVisualDataset
from .av_reader import MediaError, MediaFile
from .localisation import LocalisationDataset
from .retrieval_dataset import RetrievalDataset
from .samplers import ClusterBalancedSampler, ResumableSampler
from .transforms import (
    AVIDSpectrogram,
    CropAudio,
    DecodeAudioVisual,
    GDTSpectrogram,
    LoadAudio,
    LogMelSpectrogram,
    OpenAudioVisual,
    PackAudioVisual,
    PerClip,
    SampleClips,
    SpecAugment,
    StillClip,
    VolumeJitter,
)

__all__ = [
    "AVIDSpectrogram",
    "AudioClipDataset",
    "AudioVisualDataset",
    "ClusterBalancedSampler",
    "CropAudio",
    "DecodeAudioVisual",
    "GDTSpectrogram",
    "LoadAudio",
    "LocalisationDataset",
    "LogMelSpectrogram",
    "MediaError",
    "MediaFile",
    "OpenAudioVisual",
    "PackAudioVisual",
    "PerClip",
    "ResumableSampler",
    "RetrievalDataset",
    "SampleClips",
    "SpecAugment",
    "StillClip",
    "VolumeJitter",
]
