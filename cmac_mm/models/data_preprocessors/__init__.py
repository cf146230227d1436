"""Device side of the data path."""

from .audio_visual import AudioVisualDataPreprocessor

__all__ = ["AudioVisualDataPreprocessor"]
