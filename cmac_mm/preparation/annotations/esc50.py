"""ESC-50 and ESC-10: the five official folds."""

from __future__ import annotations

from pathlib import Path

from .lists import AnnotationList, Annotations, ClassList, Clip
from .tables import read_table

_FOLDS = range(1, 6)
_NUM_CLASSES = 50


def read_esc50(source: Path) -> Annotations:
    """Read the official table of ESC-50 (Piczak, 2015), which holds ESC-10 as well.

    Columns ``filename,fold,target,category,esc10,...``. List N has the recordings of fold N; one
    trains on the other four. ESC-10 keeps the folds, its ten classes are renumbered in order.

    Args:
        source (Path): ``meta/esc50.csv`` of the set.

    Returns:
        Annotations: Lists ``esc50_fold{1..5}``, ``esc10_fold{1..5}``, ``esc50_classes`` and
        ``esc10_classes``.

    Raises:
        ValueError: If the table is not as expected.
    """
    names: dict[int, str] = {}
    rows: list[tuple[str, int, int, bool]] = []
    for number, row in read_table(source, ("filename", "fold", "target", "category", "esc10")):
        esc10 = row["esc10"].lower()  # TRUE and FALSE where a spreadsheet saved it
        valid = (
            row["fold"] in [str(fold) for fold in _FOLDS]
            and row["target"] in [str(target) for target in range(_NUM_CLASSES)]
            and esc10 in ("true", "false")
        )
        if not valid or names.setdefault(int(row["target"]), row["category"]) != row["category"]:
            raise ValueError(
                f"{source}, line {number}: expected fold 1 to 5, target 0 to 49 with one category "
                f"each and esc10 True or False, found {dict(row)}"
            )
        rows.append((row["filename"], int(row["fold"]), int(row["target"]), esc10 == "true"))
    small = sorted({target for _, _, target, esc10 in rows if esc10})
    lists = [
        AnnotationList(
            f"esc50_fold{fold}",
            [Clip(name, target) for name, at, target, _ in rows if at == fold],
            official=400,
        )
        for fold in _FOLDS
    ] + [
        AnnotationList(
            f"esc10_fold{fold}",
            [
                Clip(name, small.index(target))
                for name, at, target, ten in rows
                if at == fold and ten
            ],
            official=80,
        )
        for fold in _FOLDS
    ]
    warnings = []
    if len(small) != 10 and small:
        warnings.append(
            f"{source} has {len(small)} of the 10 classes of ESC-10, so its labels are not the "
            "usual ones"
        )
    # A line stands for its label, also where a part of the set lacks a class.
    all_names = [names.get(target, "-") for target in range(_NUM_CLASSES)]
    classes = [
        ClassList("esc50_classes", all_names, _NUM_CLASSES),
        ClassList("esc10_classes", [names[target] for target in small], 10),
    ]
    return Annotations(lists, classes, warnings)
