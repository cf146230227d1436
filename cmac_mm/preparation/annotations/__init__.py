"""Official annotations of public data sets, turned into lists; one module a data set.

Each ``read_*`` function knows the official files of one data set and nothing of the disk; the
indices find the media files, whatever their suffix, and :func:`write_lists` brings both together.
"""

from .audioset import read_audioset
from .dcase import read_dcase
from .esc50 import read_esc50
from .files import PathIndex, StemIndex, YouTubeIndex, scan_media
from .hmdb51 import read_hmdb51
from .kinetics import read_kinetics400
from .lists import AnnotationList, Annotations, ClassList, Clip, ListSummary, write_lists
from .ucf101 import read_ucf101

__all__ = [
    "AnnotationList",
    "Annotations",
    "ClassList",
    "Clip",
    "ListSummary",
    "PathIndex",
    "StemIndex",
    "YouTubeIndex",
    "read_audioset",
    "read_dcase",
    "read_esc50",
    "read_hmdb51",
    "read_kinetics400",
    "read_ucf101",
    "scan_media",
    "write_lists",
]
