"""Encoders: clip or spectrogram in, feature map out."""

from .audio_resnet import AudioResNet
from .r2plus1d import R2Plus1D

__all__ = ["AudioResNet", "R2Plus1D"]
