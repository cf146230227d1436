"""Heads: projections, saliency, classifiers, and the losses on them."""

from .avid_head import AVIDHead
from .cluster_head import ClusterHead
from .cmac_head import CMACHead
from .max_pool_head import MaxPoolHead
from .multi_stage_linear import MultiStageLinearHead
from .projection import ProjectionHead
from .saliency import SaliencyHead

__all__ = [
    "AVIDHead",
    "CMACHead",
    "ClusterHead",
    "MaxPoolHead",
    "MultiStageLinearHead",
    "ProjectionHead",
    "SaliencyHead",
]
