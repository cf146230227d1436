"""Evaluation of audio-visual representations: retrieval, linear probes, localisation."""

from .bank_diagnostics import (
    mean_dot_product,
    neighbour_agreement,
    pair_similarities,
    positive_precision,
    rejected_negatives,
    sample_rows,
)
from .class_retrieval import ClassRetrieval
from .clustering_quality import (
    ClusterPurity,
    normalized_mutual_information,
    purity_table,
)
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
from .report import Cell, PaperResult, Report, build_report, format_markdown, paper_results
from .results import load_results, save_result
from .retrieval import chance_recall, instance_recall, nearest_neighbours, recall_at_k
from .sound_classifiers import LinearClassifier, SVMClassifier
from .sound_protocol import FoldResult, FoldsResult, classify_folds
from .video_accuracy import VideoAccuracy

__all__ = [
    "Cell",
    "ClassRetrieval",
    "ClusterPurity",
    "CrossModalRetrieval",
    "FoldResult",
    "FoldsResult",
    "LinearClassifier",
    "LocalisationResult",
    "MultiStageAccuracy",
    "PaperResult",
    "ProbeResult",
    "Report",
    "SVMClassifier",
    "VideoAccuracy",
    "band_hit",
    "boxes_in_crop",
    "build_report",
    "cached_features",
    "calibrate_batch_norm",
    "chance_recall",
    "classify_folds",
    "extract_features",
    "filter_frequencies",
    "format_markdown",
    "instance_recall",
    "linear_probe",
    "load_results",
    "mean_dot_product",
    "nearest_neighbours",
    "neighbour_agreement",
    "normalized_mutual_information",
    "pair_similarities",
    "paper_results",
    "pointing_game",
    "positive_precision",
    "purity_table",
    "recall_at_k",
    "rejected_negatives",
    "sample_rows",
    "save_result",
]
