"""Files of a list or of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..datasets.list_rows import is_address, list_lines, parse_line
from ..utils import write_text
from .annotations.files import AUDIO_SUFFIXES, VIDEO_SUFFIXES, scan_media
from .annotations.lists import check_name


@dataclass(frozen=True)
class Entry:
    """Line of a list.

    Args:
        name (str): The file as the list names it.
        path (Path): Where the file is.
        line (str): The whole line, with the label if there is one.
    """

    name: str
    path: Path
    line: str

    def renamed(self, name: str) -> str:
        """Make the line with another file name."""
        return self.line.replace(self.name, name, 1)


def read_entries(source: Path, prefix: Path | None = None) -> list[Entry]:
    """Read the files of a list, or find all media files of a folder.

    Files of a folder are found by their suffixes, at any depth, also through links to folders, in
    alphabetical order. Their lines
    have no label; where a name holds a space, all lines get the label 0, since a list could not be
    read otherwise.

    Args:
        source (Path): The list or the folder.
        prefix (Path, optional): Folder that names in a list are relative to. Defaults to None: the
            working directory, as in training without ``data_prefix``.

    Returns:
        list[Entry]: In the order of the list.

    Raises:
        ValueError: A line cannot be understood, there are no files, or a folder has a prefix.
        FileNotFoundError: There is no such list or folder.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source}: there is no such list or folder")
    if source.is_dir():
        if prefix is not None:
            raise ValueError(f"{source} is a folder: a prefix ({prefix}) is for lists only")
        names = scan_media(source, VIDEO_SUFFIXES + AUDIO_SUFFIXES)
        for name in names:
            check_name(name)
        label = " 0" if any(" " in name or "\t" in name for name in names) else ""
        return [Entry(name, source / name, name + label) for name in names]
    if source.name.lower().endswith(VIDEO_SUFFIXES + AUDIO_SUFFIXES):
        raise ValueError(f"{source} is a media file: expected a list of files, or a folder")
    folder, entries = prefix or Path(), []
    for number, line in list_lines(str(source)):
        name, _ = parse_line(line, str(source), number)
        if is_address(name):
            raise ValueError(
                f"{source}, line {number}: {name} is an address, expected a local file"
            )
        entries.append(Entry(name, folder / name, line))
    if not entries:
        raise ValueError(f"{source} lists no files")
    return entries


def write_lines(path: Path, lines: list[str]) -> None:
    """Write a text file under a temporary name, then rename it; make its folder."""
    write_text(path, "".join(f"{line}\n" for line in lines))
