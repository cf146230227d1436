"""Samplers whose order depends on seed and epoch alone."""

from .cluster_balanced_sampler import ClusterBalancedSampler
from .resumable_sampler import ResumableSampler, SampleIndex

__all__ = ["ClusterBalancedSampler", "ResumableSampler", "SampleIndex"]
