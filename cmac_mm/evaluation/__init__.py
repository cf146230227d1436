"""Evaluation of audio-visual representations: retrieval, linear probes, localisation."""

from .class_retrieval import ClassRetrieval
from .feature_cache import cached_features
from .features import calibrate_batch_norm, extract_features
from .linear_probe import ProbeResult, linear_probe
from .localisation import (
    LocalisationResult,
    band_hit,
    boxes_in_crop,
    filter_frequencies,
    pointing_game,
)
from .metrics import CrossModalRetrieval
from .multi_stage_accuracy import MultiStageAccuracy
from .results import load_results, save_result
from .retrieval import chance_recall, instance_recall, nearest_neighbours, recall_at_k
from .sound_classifiers import LinearClassifier, SVMClassifier
from .sound_protocol import FoldResult, FoldsResult, classify_folds
from .video_accuracy import VideoAccuracy

__all__ = [
    "ClassRetrieval",
    "CrossModalRetrieval",
    "FoldResult",
    "FoldsResult",
    "LinearClassifier",
    "LocalisationResult",
    "MultiStageAccuracy",
    "ProbeResult",
    "SVMClassifier",
    "VideoAccuracy",
    "band_hit",
    "boxes_in_crop",
    "cached_features",
    "calibrate_batch_norm",
    "chance_recall",
    "classify_folds",
    "extract_features",
    "filter_frequencies",
    "instance_recall",
    "linear_probe",
    "load_results",
    "nearest_neighbours",
    "pointing_game",
    "recall_at_k",
    "save_result",
]
