"""UCF101: the three official splits."""

from __future__ import annotations

from pathlib import Path

from ...utils import read_lines
from .lists import AnnotationList, Annotations, ClassList, Clip

_OFFICIAL = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}


def read_ucf101(folder: Path) -> Annotations:
    """Read the official split files of UCF101 (Soomro et al., 2012).

    ``classInd.txt`` holds lines ``1 ApplyEyeMakeup``, ``trainlist01.txt`` lines
    ``ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1``, ``testlist01.txt`` the same without the
    number; 01 to 03. Labels are the official ones less 1. Splits whose files are not there are
    left out.

    Args:
        folder (Path): ``ucfTrainTestlist``, as unpacked.

    Returns:
        Annotations: Lists ``ucf101_{train,test}_split{1,2,3}`` and ``classes``.

    Raises:
        ValueError: If the official files are not there or not as expected.
    """
    class_file = folder / "classInd.txt"
    if not class_file.is_file():
        raise ValueError(
            f"{folder}: expected the folder ucfTrainTestlist with classInd.txt, trainlist01.txt, "
            "testlist01.txt ..., but there is no classInd.txt"
        )
    classes: dict[str, int] = {}
    for number, line in enumerate(read_lines(class_file), start=1):
        if line.strip():
            index, _, name = line.strip().partition(" ")
            if index != str(len(classes) + 1) or not name:
                raise ValueError(
                    f"{class_file}, line {number}: expected '{len(classes) + 1} CLASS', found "
                    f"{line!r}"
                )
            classes[name] = len(classes)
    lists = []
    for split, counts in _OFFICIAL.items():
        for part, official in zip(("train", "test"), counts, strict=True):
            path = folder / f"{part}list{split:02d}.txt"
            if path.is_file():
                clips = _read_split(path, classes)
                lists.append(AnnotationList(f"ucf101_{part}_split{split}", clips, official))
    if not lists:
        raise ValueError(f"{folder}: expected trainlist01.txt, testlist01.txt ..., found neither")
    return Annotations(lists, [ClassList("classes", list(classes), 101)])


def _read_split(path: Path, classes: dict[str, int]) -> list[Clip]:
    """Read one list; where it gives labels they must agree with the folder."""
    clips = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        name, _, index = line.strip().partition(" ")
        label = classes.get(name.partition("/")[0])
        if label is None or index not in ("", str(label + 1)):
            raise ValueError(
                f"{path}, line {number}: expected 'CLASS/VIDEO.avi' with a class of classInd.txt, "
                f"and its number if any, found {line.strip()!r}"
            )
        clips.append(Clip(name, label))
    return clips
