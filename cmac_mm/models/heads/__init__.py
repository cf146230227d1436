"""Heads: what is computed from features and filters."""

from .cmac_head import CMACHead
from .projection import ProjectionHead
from .saliency import SaliencyHead

__all__ = ["CMACHead", "ProjectionHead", "SaliencyHead"]
