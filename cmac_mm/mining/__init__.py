"""Searches over all videos: positives by cross-modal agreement, and k-means clusters."""

from .agreement import mine_positives, mine_positives_on_all_ranks
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
    "mine_positives",
    "mine_positives_on_all_ranks",
    "nearest_centroids",
]
