"""Released encoders: their names, their files, and how these become models of this project."""

from .convert import PEERS, convert_checkpoint
from .entries import Entry, find_entry, list_models
from .fetch import download

__all__ = [
    "PEERS",
    "Entry",
    "convert_checkpoint",
    "download",
    "find_entry",
    "list_models",
]
