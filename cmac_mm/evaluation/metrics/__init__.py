"""Metrics in MMAction2's registry; thin adapters of :mod:`cmac_mm.evaluation.functional`."""

from .class_retrieval import ClassRetrieval
from .cross_modal_retrieval import CrossModalRetrieval
from .localisation_metric import LocalisationMetric
from .multi_stage_accuracy import MultiStageAccuracy
from .video_accuracy import VideoAccuracy

__all__ = [
    "ClassRetrieval",
    "CrossModalRetrieval",
    "LocalisationMetric",
    "MultiStageAccuracy",
    "VideoAccuracy",
]
