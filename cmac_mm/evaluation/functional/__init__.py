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
from .localisation import (
    box_region,
    centre_maps,
    consensus_iou,
    consensus_map,
    localisation_scores,
    predicted_region,
    random_maps,
)
from .retrieval import chance_recall, instance_recall, nearest_neighbours, recall_at_k
from .sound_classifiers import LinearClassifier, SVMClassifier

__all__ = [
    "AttentionHits",
    "ClusterPurity",
    "LinearClassifier",
    "ProbeResult",
    "SVMClassifier",
    "band_hit",
    "box_region",
    "boxes_in_crop",
    "centre_maps",
    "chance_recall",
    "class_retrieval",
    "consensus_iou",
    "consensus_map",
    "cross_modal_retrieval",
    "filter_frequencies",
    "identical_files",
    "instance_recall",
    "linear_probe",
    "localisation_scores",
    "mean_dot_product",
    "nearest_neighbours",
    "neighbour_agreement",
    "normalized_mutual_information",
    "pair_similarities",
    "pointing_game",
    "positive_precision",
    "predicted_region",
    "purity_table",
    "random_maps",
    "recall_at_k",
    "rejected_negatives",
    "sample_rows",
]
