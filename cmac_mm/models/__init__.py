"""Encoders, necks, heads, losses, memories and the methods made of them."""

from .backbones import AudioResNet, R2Plus1D
from .data_preprocessors import AudioVisualDataPreprocessor, RecognizerDataPreprocessor
from .feature_extractor import FeatureExtractor
from .heads import CMACHead, MaxPoolHead
from .losses import AttentionConsistencyLoss, MoCoQueueLoss
from .memories import KeyQueue
from .necks import CMACNeck
from .pretrained_encoder import PretrainedEncoder
from .recognizers import FrozenRecognizer3D
from .selfsup import CMAC

__all__ = [
    "CMAC",
    "AttentionConsistencyLoss",
    "AudioResNet",
    "AudioVisualDataPreprocessor",
    "CMACHead",
    "CMACNeck",
    "FeatureExtractor",
    "FrozenRecognizer3D",
    "KeyQueue",
    "MaxPoolHead",
    "MoCoQueueLoss",
    "PretrainedEncoder",
    "R2Plus1D",
    "RecognizerDataPreprocessor",
]
