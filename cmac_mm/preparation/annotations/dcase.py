"""DCASE 2013 and what papers call DCASE 2014: acoustic scenes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from .lists import AnnotationList, Annotations, ClassList, Clip
from .tables import read_table

SCENES = (
    "bus",
    "busystreet",
    "office",
    "openairmarket",
    "park",
    "quietstreet",
    "restaurant",
    "supermarket",
    "tube",
    "tubestation",
)
_PARTS = {
    "scenes_stereo": "train",
    "scenes_stereo_testset": "test",
    "train": "train",
    "test": "test",
    "val": "test",
}
_NAME = re.compile(r"(?:test_)?([a-z]+)\d+")


def read_dcase(year: int, files: Iterable[str], table: Path | None = None) -> Annotations:
    """Read the training and test recordings of DCASE's scene task.

    "Detection and Classification of Acoustic Scenes and Events", Stowell et al., 2015: ten scenes,
    30 s of sound each. The public development set (``scenes_stereo/bus01.wav`` ..., ten files a
    scene, their numbers with gaps) is the training part, the evaluation set published later
    (``scenes_stereo_testset/bus01.wav`` ...) the test part. The challenge itself ran five-fold
    cross-validation on the evaluation set alone, so its own tables are not comparable.

    There was no challenge in 2014. Papers that report "DCASE 2014" (AVTS, GDT, CMAC) describe and
    cite these same recordings, and GDT's public loader reads these ten classes from folders
    ``train`` and ``val``; so this is what both years read. CMAC reports two different figures for
    "DCASE2013" and "DCASE2014" and says of both that they have 100 training clips of ten classes;
    what sets them apart could not be found out. Whoever has another division gives it as a table.

    Args:
        year (int): 2013 or 2014; goes into the names of the lists.
        files (Iterable[str]): Paths of the recordings, as :func:`scan_media` lists them.
        table (Path, optional): A csv file with columns ``file,class,split``: path relative to the
            folder, name of the class, train or test. Defaults to None: the official layout, in
            which folder and file name tell part and class.

    Returns:
        Annotations: Lists ``dcase{year}_{train,test}`` and ``classes``.

    Raises:
        ValueError: If the files are not laid out as expected, or the table is not.
    """
    entries = _from_names(files) if table is None else _from_table(table)
    classes = list(SCENES) if table is None else sorted({scene for _, scene, _ in entries})
    lists = [
        AnnotationList(
            f"dcase{year}_{part}",
            [Clip(path, classes.index(scene)) for path, scene, at in entries if at == part],
            official=100,
        )
        for part in ("train", "test")
    ]
    return Annotations(lists, [ClassList("classes", classes, 10)])


def _from_names(files: Iterable[str]) -> list[tuple[str, str, str]]:
    """Path, class and part of each recording."""
    entries = []
    for file in files:
        path = PurePosixPath(file)
        parts = {_PARTS[name] for name in path.parts[:-1] if name in _PARTS}
        match = _NAME.fullmatch(path.stem)
        if len(parts) == 1 and match and match[1] in SCENES:
            entries.append((file, match[1], parts.pop()))
    if not entries:
        raise ValueError(
            "no recording is named as in the official layout: expected scenes_stereo/bus01.wav ... "
            "and scenes_stereo_testset/bus01.wav ..., or the same in train/ and test/ (or val/); "
            "for other layouts give a csv table with columns file,class,split"
        )
    return entries


def _from_table(table: Path) -> list[tuple[str, str, str]]:
    """The same from a table."""
    entries = []
    for number, row in read_table(table, ("file", "class", "split")):
        if row["split"] not in ("train", "test"):
            raise ValueError(
                f"{table}, line {number}: split {row['split']!r}, expected train or test"
            )
        entries.append((row["file"], row["class"], row["split"]))
    if not entries:
        raise ValueError(f"{table} has no rows")
    return entries
