"""Filters and pyramid correlation filtering."""

from .cmac_neck import CMACNeck
from .pyramid_correlation import correlation_response, pyramid_correlation

__all__ = ["CMACNeck", "correlation_response", "pyramid_correlation"]
