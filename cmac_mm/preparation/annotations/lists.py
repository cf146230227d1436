"""Entries of annotations, and the lists made from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ...utils import write_text


@dataclass(frozen=True, slots=True)
class Clip:
    """Entry of an official annotation.

    Attributes:
        name (str): What the annotation calls it: a path, or a YouTube id where ``span`` is given.
        label (int, optional): Class, counted from 0. Defaults to None: not labelled, or with more
            than one class.
        span (tuple[float, float], optional): Start and end in the YouTube video, seconds.
            Defaults to None: the name says it all.
    """

    name: str
    label: int | None = None
    span: tuple[float, float] | None = None

    def __str__(self) -> str:
        if self.span is None:
            return self.name
        start, end = (round(seconds) for seconds in self.span)
        return f"{self.name}_{start:06d}_{end:06d}"


@dataclass(frozen=True)
class AnnotationList:
    """List to be written.

    Attributes:
        name (str): Name of the list's file, without ``.txt``.
        clips (list[Clip]): What the annotation names, in the order of the list.
        official (int, optional): Published number of entries. Defaults to None: not published.
        limit (int, optional): Keep only this many, the first that are found. Defaults to None: all.
        folder (str, optional): Take only files in this folder, and list them relative to it.
            Defaults to None: the folder of all media files.
    """

    name: str
    clips: list[Clip]
    official: int | None = None
    limit: int | None = None
    folder: str | None = None


@dataclass(frozen=True)
class ClassList:
    """Classes in the order of their labels.

    Attributes:
        name (str): Name of the file, without ``.txt``.
        classes (list[str]): Names of the classes.
        official (int): Published number of classes.
    """

    name: str
    classes: list[str]
    official: int


@dataclass(frozen=True)
class Annotations:
    """Lists and classes made from the annotations of one dataset.

    Attributes:
        lists (list[AnnotationList]): The lists.
        classes (list[ClassList]): The classes. Defaults to none.
        warnings (list[str]): What the user should know. Defaults to none.
    """

    lists: list[AnnotationList]
    classes: list[ClassList] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ListSummary:
    """Summary of a written list.

    Attributes:
        path (Path): The list's file.
        annotated (int): Entries of the annotation.
        official (int | None): Published number of entries.
        listed (int): Entries whose file was found and is in the list.
        missing (list[str]): Entries whose file was not found.
        limit (int | None): Number of entries asked for.
        folder (str | None): Folder that the list's paths are relative to.
        files (set[str]): The files in the list, relative to the folder of all media files.
    """

    path: Path
    annotated: int
    official: int | None
    listed: int
    missing: list[str]
    limit: int | None
    folder: str | None
    files: set[str]


def write_lists(
    annotations: Annotations, find: Callable[[Clip], str | None], out_dir: Path
) -> list[ListSummary]:
    """Write the lists, the names of the classes, and what is missing.

    A list is a text file of lines ``path label`` (or ``path``), its missing entries are in
    ``NAME_missing.txt`` beside it.

    Args:
        annotations (Annotations): What to list.
        find (Callable[[Clip], str | None]): Tells the path of a clip's file, if there is one.
        out_dir (Path): Folder of the lists.

    Returns:
        list[ListSummary]: What became of each list.

    Raises:
        ValueError: If no file of any list was found, or a path cannot stand in a list.
    """
    summaries, texts = [], []
    for wanted in annotations.lists:
        prefix = f"{wanted.folder}/" if wanted.folder else ""
        lines, missing, files = [], [], set()
        for clip in wanted.clips:
            path = find(clip)
            if path is None or not path.startswith(prefix):
                missing.append(str(clip))
                continue
            lines.append(_line(path.removeprefix(prefix), clip.label))
            files.add(path)
            if len(lines) == wanted.limit:
                break
        texts.append(lines)
        summaries.append(
            ListSummary(
                path=out_dir / f"{wanted.name}.txt",
                annotated=len(wanted.clips),
                official=wanted.official,
                listed=len(lines),
                missing=missing,
                limit=wanted.limit,
                folder=wanted.folder,
                files=files,
            )
        )
    if not any(texts):
        example = next((str(clip) for wanted in annotations.lists for clip in wanted.clips), None)
        if example is None:
            raise ValueError("the annotations have no entries")
        raise ValueError(
            f"none of the media files is one that the annotations name, such as {example}: is this "
            "the folder of another data set?"
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    for summary, lines in zip(summaries, texts, strict=True):
        _write(summary.path, lines)
        missing_path = summary.path.with_name(f"{summary.path.stem}_missing.txt")
        if summary.missing:
            _write(missing_path, summary.missing)
        else:
            missing_path.unlink(missing_ok=True)  # from an earlier, less complete run
    for classes in annotations.classes:
        _write(out_dir / f"{classes.name}.txt", classes.classes)
    return summaries


def check_name(path: str) -> None:
    """Raise an error for a name that cannot stand in a list.

    Args:
        path (str): The file as a list would name it.

    Raises:
        ValueError: If it holds a line break or is not UTF-8.
    """
    if "\n" in path or "\r" in path or any("\ud800" <= char <= "\udfff" for char in path):
        raise ValueError(
            f"file name {path!r} holds a line break or bytes that are not UTF-8 and cannot stand "
            "in a list: rename the file"
        )


def _line(path: str, label: int | None) -> str:
    """A line as :class:`cmac_mm.datasets.AudioVisualDataset` reads it."""
    check_name(path)
    if label is not None:
        return f"{path} {label}"
    if " " in path or "\t" in path:
        raise ValueError(
            f"file {path!r}: in a list without labels paths must be free of spaces; rename it, or "
            "give the folder below the one whose name has a space"
        )
    return path


def _write(path: Path, lines: Iterable[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))
