"""What is trained: one class a method."""

from .cmac import CMAC
from .momentum_encoder import MomentumEncoder

__all__ = ["CMAC", "MomentumEncoder"]
