"""Scores of features, embeddings and attention maps, as functions of tensors and arrays."""

from .attention import (
    AttentionHits,
    band_hit,
    boxes_in_crop,
    filter_frequencies,
    pointing_game,
)
from .bank_diagnostics import (
    mean_dot_product,
    neighbour_agreement,
    pair_similarities,
    positive_precision,
    rejected_negatives,
    sample_rows,
)
from .class_retrieval import class_retrieval, identical_files
from .clustering_quality import ClusterPurity, normalized_mutual_information, purity_table
from .cross_modal_retrieval import cross_modal_retrieval
from .linear_probe import ProbeResult, linear_probe
from .retrieval import chance_recall, instance_recall, nearest_neighbours, recall_at_k
from .sound_classifiers import LinearClassifier, SVMClassifier

__all__ = [
    "AttentionHits",
    "ClusterPurity",
    "LinearClassifier",
    "ProbeResult",
    "SVMClassifier",
    "band_hit",
    "boxes_in_crop",
    "chance_recall",
    "class_retrieval",
    "cross_modal_retrieval",
    "filter_frequencies",
    "identical_files",
    "instance_recall",
    "linear_probe",
    "mean_dot_product",
    "nearest_neighbours",
    "neighbour_agreement",
    "normalized_mutual_information",
    "pair_similarities",
    "pointing_game",
    "positive_precision",
    "purity_table",
    "recall_at_k",
    "rejected_negatives",
    "sample_rows",
]
