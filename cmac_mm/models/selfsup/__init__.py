"""Methods of self-supervised learning, one class each."""

from .audio_visual_model import AudioVisualModel
from .avid import AVID
from .cmac import CMAC
from .deep_clustering import DeepClustering
from .momentum_encoder import MomentumEncoder

__all__ = ["AVID", "CMAC", "AudioVisualModel", "DeepClustering", "MomentumEncoder"]
