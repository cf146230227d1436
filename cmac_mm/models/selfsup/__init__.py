"""What is trained: one class a method."""

from .audio_visual_model import AudioVisualModel
from .avid import AVID
from .cmac import CMAC
from .momentum_encoder import MomentumEncoder

__all__ = ["AVID", "CMAC", "AudioVisualModel", "MomentumEncoder"]
