"""Features of a trained model: extraction over a dataset or along a video, cache, and export."""

from .cache import cached_features
from .export import (
    features_by_frame,
    rescale_features,
    thumos_part,
    write_csv,
    write_thumos_h5,
)
from .extract import calibrate_batch_norm, extract_features
from .list_files import FeatureFiles, ListLoader, extract_to_files
from .result_folder import ResultFolder
from .search_index import Hit, SearchIndex
from .sliding_windows import (
    ClipFeatures,
    ClipStream,
    build_encoder,
    clip_starts,
    encode_clips,
    find_test_pipeline,
    stream_features,
)
from .video_result import VideoResult

__all__ = [
    "ClipFeatures",
    "ClipStream",
    "FeatureFiles",
    "Hit",
    "ListLoader",
    "ResultFolder",
    "SearchIndex",
    "VideoResult",
    "build_encoder",
    "cached_features",
    "calibrate_batch_norm",
    "clip_starts",
    "encode_clips",
    "extract_features",
    "extract_to_files",
    "features_by_frame",
    "find_test_pipeline",
    "rescale_features",
    "stream_features",
    "thumos_part",
    "write_csv",
    "write_thumos_h5",
]
