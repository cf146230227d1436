"""Evaluation of audio-visual representations: retrieval, linear probes, localisation."""

from .features import extract_features
from .linear_probe import ProbeResult, linear_probe
from .localisation import LocalisationResult, band_hit, boxes_in_crop, pointing_game
from .metrics import CrossModalRetrieval
from .retrieval import instance_recall, recall_at_k

__all__ = [
    "CrossModalRetrieval",
    "LocalisationResult",
    "ProbeResult",
    "band_hit",
    "boxes_in_crop",
    "extract_features",
    "instance_recall",
    "linear_probe",
    "pointing_game",
    "recall_at_k",
]
