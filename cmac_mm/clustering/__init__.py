"""K-means of features that need not fit into memory, over several ranks."""

from .assignment import nearest_centroids
from .clustering import Clustering, cluster
from .feature_source import FeatureSource
from .whitening import Whitening, fit_whitening

__all__ = [
    "Clustering",
    "FeatureSource",
    "Whitening",
    "cluster",
    "fit_whitening",
    "nearest_centroids",
]
