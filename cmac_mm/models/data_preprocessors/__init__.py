"""Device side of the data path."""

from .audio_visual import AudioVisualDataPreprocessor
from .recognizer import RecognizerDataPreprocessor

__all__ = ["AudioVisualDataPreprocessor", "RecognizerDataPreprocessor"]
