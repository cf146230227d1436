"""Search of the media files that annotations name."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .lists import Clip

# fmt: off
VIDEO_SUFFIXES = (
    ".mp4", ".m4v", ".mkv", ".webm", ".avi", ".mov", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts",
)
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac")
# fmt: on


def scan_media(
    folder: Path, suffixes: Collection[str] = VIDEO_SUFFIXES, expected: int | None = None
) -> list[str]:
    """List the media files of a folder in one pass, without asking for the status of any file.

    Symbolic links to folders are followed, but for those back to a folder that they are in; hidden
    files and folders are left out.

    Args:
        folder (Path): The folder.
        suffixes (Collection[str]): Suffixes of media files, in lower case. Defaults to those of
            videos.
        expected (int, optional): Number of files, for the progress bar. Defaults to None: unknown.

    Returns:
        list[str]: Paths relative to the folder, sorted.

    Raises:
        ValueError: If there is no such folder, or not one media file in it.
        OSError: If a folder cannot be read.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: expected the folder of the media files")
    files: list[str] = []
    progress = Progress(
        TextColumn(f"scanning {folder.name}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        transient=True,
    )
    with progress:
        task = progress.add_task("", total=expected)
        above: dict[str, frozenset] = {}  # which folders a place is in
        for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
            status = Path(place).stat()
            own, holders = (status.st_dev, status.st_ino), above.pop(place, frozenset())
            if own in holders:
                folders.clear()
                continue
            folders[:] = [name for name in folders if not name.startswith(".")]
            above |= {str(Path(place, name)): holders | {own} for name in folders}
            below = Path(place).relative_to(folder).as_posix()
            prefix = "" if below == "." else f"{below}/"
            files += [
                prefix + name
                for name in names
                if not name.startswith(".") and name.lower().endswith(tuple(suffixes))
            ]
            progress.update(task, completed=len(files))
    if not files:
        raise ValueError(
            f"{folder}: no media file in it or its sub-folders; expected files ending in "
            f"{', '.join(sorted(suffixes))}"
        )
    return sorted(files)


def _raise(error: OSError) -> None:
    raise error


class PathIndex:
    """Index of files by their path, whatever the suffix.

    Args:
        files (Iterable[str]): Paths, as :func:`scan_media` lists them.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._paths = {path.rpartition(".")[0]: path for path in files}

    def find(self, clip: Clip) -> str | None:
        """Find the path of a clip's file; None if there is none."""
        return self._paths.get(str(PurePosixPath(clip.name).with_suffix("")))


class StemIndex:
    """Index of files by their name, whatever folder, suffix and case.

    The first in the order of paths counts, where two have the same name.

    Args:
        files (Iterable[str]): Paths, as :func:`scan_media` lists them.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._paths: dict[str, str] = {}
        for path in files:
            self._paths.setdefault(PurePosixPath(path).stem.casefold(), path)

    def find(self, clip: Clip) -> str | None:
        """Find the path of a clip's file; None if there is none."""
        return self._paths.get(PurePosixPath(clip.name).stem.casefold())


_ID_LENGTH = 11  # of a YouTube id
_TIMES = re.compile(r"(?:_(\d+(?:\.\d+)?))?(?:_(\d+(?:\.\d+)?))?")


class YouTubeIndex:
    """Index of files by YouTube id, as downloaders name them.

    ``ID``, ``ID_START``, ``ID_START_END``, each also with a ``Y`` before it; times in seconds
    (``30``, ``000030``, ``30.000``) or milliseconds (``30000``). A file that names other times
    holds another clip of the video and is not taken. An exact name goes before a bare id; beyond
    that the first in the order of paths counts.

    Args:
        files (Iterable[str]): Paths, as :func:`scan_media` lists them.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._files: dict[str, list[tuple[list[float], str]]] = {}
        for path in files:
            stem = PurePosixPath(path).stem
            # An id may itself begin with Y, so without the Y comes first.
            for start in (0, 1) if stem.startswith("Y") else (0,):
                rest = start + _ID_LENGTH
                times = _TIMES.fullmatch(stem[rest:])
                if len(stem) >= rest and times:
                    named = [float(time) for time in times.groups() if time is not None]
                    self._files.setdefault(stem[start:rest], []).append((named, path))
                    break
        for same in self._files.values():
            same.sort(key=lambda file: -len(file[0]))  # stable: paths stay in order

    def find(self, clip: Clip) -> str | None:
        """Find the path of a clip's file; None if there is none."""
        assert clip.span is not None, "YouTube clips have a span"
        for named, path in self._files.get(clip.name, ()):
            pairs = list(zip(named, clip.span, strict=False))
            if any(
                all(abs(time - scale * true) < 0.5 * scale for time, true in pairs)
                for scale in (1, 1000)
            ):
                return path
        return None
