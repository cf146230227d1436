"""Released encoders: their names, their files, and how these become models of this project."""

from .avid_statistics import find_statistics, import_statistics, place_statistics
from .convert import convert_checkpoint, export_to_torchvision, read_released
from .entries import Entry, find_entry, list_models
from .fetch import download
from .formats import FORMATS
from .inputs import AudioInput, VisualInput, describe_inputs, one_encoder

__all__ = [
    "FORMATS",
    "AudioInput",
    "Entry",
    "VisualInput",
    "convert_checkpoint",
    "describe_inputs",
    "download",
    "export_to_torchvision",
    "find_entry",
    "find_statistics",
    "import_statistics",
    "list_models",
    "one_encoder",
    "place_statistics",
    "read_released",
]
