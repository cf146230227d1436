"""Encoders: clip or spectrogram in, feature map out."""

from .audio_resnet import AudioResNet
from .avid_audio_net import AVIDAudioNet
from .r2plus1d import R2Plus1D

__all__ = ["AVIDAudioNet", "AudioResNet", "R2Plus1D"]
