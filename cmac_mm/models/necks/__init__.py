"""Filters and pyramid correlation filtering."""

from .cmac_neck import CMACNeck, Filters
from .pyramid_correlation import correlation_response, pyramid_correlation

__all__ = ["CMACNeck", "Filters", "correlation_response", "pyramid_correlation"]
