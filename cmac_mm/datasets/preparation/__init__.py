"""Checking a data set and preparing it for training; not needed for training itself."""

from .encode import EncodeSettings, encode_video
from .prepare import PrepareSummary, prepare_videos

__all__ = ["EncodeSettings", "PrepareSummary", "encode_video", "prepare_videos"]
