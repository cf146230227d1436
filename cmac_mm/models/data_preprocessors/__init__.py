"""Normalisation and augmentation on the device."""

from .audio_visual import AudioVisualDataPreprocessor
from .recognizer import RecognizerDataPreprocessor

__all__ = ["AudioVisualDataPreprocessor", "RecognizerDataPreprocessor"]
