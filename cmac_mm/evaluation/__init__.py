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
from .clip_features import (
    ClipFeatures,
    ClipStream,
    build_encoder,
    clip_starts,
    find_test_pipeline,
    stream_features,
)
from .clustering_quality import (
    ClusterPurity,
    normalized_mutual_information,
    purity_table,
)
from .feature_cache import cached_features
from .feature_files import FeatureFiles, ListLoader, extract_to_files
from .features import calibrate_batch_norm, extract_features
from .linear_probe import ProbeResult, linear_probe
from .localisation import (
    LocalisationResult,
    band_hit,
    boxes_in_crop,
    filter_frequencies,
    pointing_game,
)
from .localiser_files import (
    features_by_frame,
    rescale_features,
    thumos_part,
    write_csv,
    write_npy,
    write_thumos_h5,
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
    "ClipFeatures",
    "ClipStream",
    "ClusterPurity",
    "CrossModalRetrieval",
    "FeatureFiles",
    "FoldResult",
    "FoldsResult",
    "LinearClassifier",
    "ListLoader",
    "LocalisationResult",
    "MultiStageAccuracy",
    "PaperResult",
    "ProbeResult",
    "Report",
    "SVMClassifier",
    "VideoAccuracy",
    "band_hit",
    "boxes_in_crop",
    "build_encoder",
    "build_report",
    "cached_features",
    "calibrate_batch_norm",
    "chance_recall",
    "classify_folds",
    "clip_starts",
    "extract_features",
    "extract_to_files",
    "features_by_frame",
    "filter_frequencies",
    "find_test_pipeline",
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
    "rescale_features",
    "sample_rows",
    "save_result",
    "stream_features",
    "thumos_part",
    "write_csv",
    "write_npy",
    "write_thumos_h5",
]
