"""Recognizers beside MMAction2's own."""

from .frozen import FrozenRecognizer3D

__all__ = ["FrozenRecognizer3D"]
