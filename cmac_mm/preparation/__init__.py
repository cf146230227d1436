"""Checking a data set and preparing it for training; not needed for training itself."""

from .check import Criteria, Report, check_file
from .duplicates import find_equal_files
from .encode import EncodeSettings, encode_video
from .prepare import PrepareSummary, prepare_videos
from .scan import ScanSummary, scan_videos
from .spectrogram_statistics import StatisticsSummary, spectrogram_statistics

__all__ = [
    "Criteria",
    "EncodeSettings",
    "PrepareSummary",
    "Report",
    "ScanSummary",
    "StatisticsSummary",
    "check_file",
    "encode_video",
    "find_equal_files",
    "prepare_videos",
    "scan_videos",
    "spectrogram_statistics",
]
