"""Evaluation of representations; importing this registers the metrics."""

from .metrics import (
    ClassRetrieval,
    CrossModalRetrieval,
    LocalisationMetric,
    MultiStageAccuracy,
    VideoAccuracy,
)
from .report import Cell, PaperResult, Report, build_report, format_markdown, paper_results
from .results import load_results, save_result
from .sound_folds import FoldResult, FoldsResult, classify_folds

__all__ = [
    "Cell",
    "ClassRetrieval",
    "CrossModalRetrieval",
    "FoldResult",
    "FoldsResult",
    "LocalisationMetric",
    "MultiStageAccuracy",
    "PaperResult",
    "Report",
    "VideoAccuracy",
    "build_report",
    "classify_folds",
    "format_markdown",
    "load_results",
    "paper_results",
    "save_result",
]
