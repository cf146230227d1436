"""HMDB51: the three official splits."""

from __future__ import annotations

import re
from pathlib import Path

from ...utils import read_lines
from .lists import AnnotationList, Annotations, ClassList, Clip

_FILE = re.compile(r"(?P<name>.+)_test_split(?P<split>[123])\.txt")
_PARTS = {"1": "train", "2": "test", "0": None}
_OFFICIAL = {"train": 3570, "test": 1530}


def read_hmdb51(folder: Path) -> Annotations:
    """Read the official split files of HMDB51 (Kuehne et al., 2011).

    ``CLASS_test_split1.txt`` holds lines ``VIDEO.avi 1``: 1 for training (70 a class), 2 for
    testing (30), 0 for neither; 51 classes, splits 1 to 3. Labels count the classes in
    alphabetical order, as MMAction2's label map does.

    Args:
        folder (Path): ``testTrainMulti_7030_splits``, as unpacked.

    Returns:
        Annotations: Lists ``hmdb51_{train,test}_split{1,2,3}`` and ``classes``.

    Raises:
        ValueError: If the official files are not there or not as expected.
    """
    found = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if match := _FILE.fullmatch(path.name):
                found[match["name"], int(match["split"])] = path
    if not found:
        raise ValueError(
            f"{folder}: expected the folder testTrainMulti_7030_splits with files such as "
            "brush_hair_test_split1.txt"
        )
    classes = sorted({name for name, _ in found})
    lists = []
    for split in sorted({split for _, split in found}):
        parts: dict[str, list[Clip]] = {"train": [], "test": []}
        for label, name in enumerate(classes):
            if (name, split) not in found:
                raise ValueError(f"{folder}: {name}_test_split{split}.txt is missing")
            for part, video in _read_file(found[name, split]):
                parts[part].append(Clip(f"{name}/{video}", label))
        for part, clips in parts.items():
            name = f"hmdb51_{part}_split{split}"
            lists.append(AnnotationList(name, clips, _OFFICIAL[part]))
    return Annotations(lists, [ClassList("classes", classes, 51)])


def _read_file(path: Path) -> list[tuple[str, str]]:
    """Part and video of each line, those of neither part left out."""
    entries = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        video, _, code = line.strip().rpartition(" ")
        if not video or code not in _PARTS:
            raise ValueError(
                f"{path}, line {number}: expected 'VIDEO.avi CODE' with code 0, 1 or 2, found "
                f"{line.strip()!r}"
            )
        part = _PARTS[code]
        if part is not None:
            entries.append((part, video))
    return entries
