"""Reading picture and sound of a clip from one open media file, with PyAV."""

from .container import MediaError, MediaFile
from .sound import read_sound
from .video import read_frames

__all__ = ["MediaError", "MediaFile", "read_frames", "read_sound"]
