"""Folder of result files of many videos, in which an interrupted run continues."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from ..utils import split_lines, write_bytes
from ..utils.files import append_line
from ..utils.read import decode_text
from .media_stamps import media_stamps


class ResultFolder:
    """Folder of the result files of videos, with the list of those that are complete.

    ``done.jsonl`` in the folder has a line for each video whose files are complete: where it came
    from, what was asked for, and which files were written.

    Args:
        folder (str | Path): The folder; made when something is written.
        settings (str): What else the files depend on, such as the model. Files that were made with
            other settings are not complete.

    Raises:
        ValueError: If ``done.jsonl`` holds something else.
    """

    def __init__(self, folder: str | Path, settings: str) -> None:
        self.folder = Path(folder)
        self.settings = settings
        self._path = self.folder / "done.jsonl"
        self._done: dict[str, dict] = {}
        if self._path.is_file():
            self._read()
        self._names = {source: line["name"] for source, line in self._done.items()}
        self._taken = set(self._names.values())

    def _read(self) -> None:
        # A line without an end was being written when the run was killed: its video is done again.
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            write_bytes(self._path, whole)
        for number, text in enumerate(split_lines(decode_text(whole, self._path)), start=1):
            try:
                line = json.loads(text)
                self._done[line["source"]] = {key: line[key] for key in _KEYS}
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self._path}, line {number}: expected what was made of a video, found "
                    f"{text[:200]!r}"
                ) from error

    def path(self, source: str) -> Path:
        """Path of a video's files without their endings; no other video has the same.

        Args:
            source (str): The video: its path or address.
        """
        if source not in self._names:
            stem = Path(source).stem or "video"
            name, number = stem, 1
            while name in self._taken:
                number += 1
                name = f"{stem}_{number}"
            self._taken.add(name)
            self._names[source] = name
        return self.folder / self._names[source]

    def has(self, source: str, asked: Collection[str]) -> bool:
        """Whether a video's files are there, and made with these settings from the same video.

        Args:
            source (str): The video; one behind an address is taken to be the same.
            asked (Collection[str]): What is wanted of it, as given to :meth:`add`.
        """
        line = self._done.get(source)
        return (
            line is not None
            and line["settings"] == self.settings
            and line["stamp"] == _stamp(source)
            and set(asked) <= set(line["asked"])
            and all((self.folder / name).is_file() for name in line["files"])
        )

    def add(self, source: str, asked: Collection[str], files: Collection[Path]) -> None:
        """Record that a video's files are complete.

        Args:
            source (str): The video.
            asked (Collection[str]): What was wanted; a video without a picture has no overlay.
            files (Collection[Path]): What was written, in this folder.

        Raises:
            RuntimeError: If there is no room.
        """
        line = dict(
            name=self.path(source).name,
            settings=self.settings,
            stamp=_stamp(source),
            asked=sorted(asked),
            files=[path.name for path in files],
        )
        append_line(self._path, json.dumps({"source": source, **line}))
        self._done[source] = line


_KEYS = ("name", "settings", "stamp", "asked", "files")


def _stamp(source: str) -> int:
    return int(media_stamps([source])[0])
