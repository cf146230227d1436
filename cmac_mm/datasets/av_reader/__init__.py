"""Reading picture and sound of a clip from one open media file, with PyAV."""

from .container import MediaError, MediaFile, NoStreamError
from .display import Scaler, shown_size
from .sound import read_sound
from .video import read_frames, stream_frames

__all__ = [
    "MediaError",
    "MediaFile",
    "NoStreamError",
    "Scaler",
    "read_frames",
    "read_sound",
    "shown_size",
    "stream_frames",
]
