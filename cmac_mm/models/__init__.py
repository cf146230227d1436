"""Encoders, necks, heads, losses, memories and the methods made of them."""

from .backbones import AudioResNet, AVIDAudioNet, R2Plus1D
from .data_preprocessors import AudioVisualDataPreprocessor, RecognizerDataPreprocessor
from .feature_extractor import FeatureExtractor
from .heads import AVIDHead, ClusterHead, CMACHead, MaxPoolHead
from .losses import AttentionConsistencyLoss, MoCoQueueLoss, NCELoss
from .memories import KeyQueue, MemoryBank
from .necks import CMACNeck
from .pretrained_encoder import PretrainedEncoder
from .recognizers import FrozenRecognizer3D
from .selfsup import AVID, CMAC, DeepClustering
from .similarity import similarity_maps
from .two_tower import TwoTowerModel

__all__ = [
    "AVID",
    "CMAC",
    "AVIDAudioNet",
    "AVIDHead",
    "AttentionConsistencyLoss",
    "AudioResNet",
    "AudioVisualDataPreprocessor",
    "CMACHead",
    "CMACNeck",
    "ClusterHead",
    "DeepClustering",
    "FeatureExtractor",
    "FrozenRecognizer3D",
    "KeyQueue",
    "MaxPoolHead",
    "MemoryBank",
    "MoCoQueueLoss",
    "NCELoss",
    "PretrainedEncoder",
    "R2Plus1D",
    "RecognizerDataPreprocessor",
    "TwoTowerModel",
    "similarity_maps",
]
