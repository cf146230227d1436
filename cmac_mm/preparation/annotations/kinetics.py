"""Kinetics-400: official tables."""

from __future__ import annotations

from pathlib import Path

from ...utils import read_classes
from .lists import AnnotationList, Annotations, ClassList, Clip
from .tables import read_table

_COLUMNS = ("youtube_id", "time_start", "time_end", "split")
_SPLITS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
# Of the original tables; those of test sets in circulation differ.
_OFFICIAL = {"train": 246_534, "val": 19_906, "test": None}


def read_kinetics400(source: Path, label_map: Path | None = None) -> Annotations:
    """Read the official tables of Kinetics-400 (Kay et al., 2017), of CVDF or ActivityNet.

    Columns ``label,youtube_id,time_start,time_end,split`` and maybe ``is_cc``, times in seconds.
    What split a row belongs to is told by the row, not by the file's name. Labels count the
    classes in alphabetical order, as MMAction2's label map does.

    Args:
        source (Path): A table, or a folder of tables; other tables in it are passed over.
        label_map (Path, optional): Text file of the classes, one a line, in the order of labels.
            Needed where the tables do not have all classes. Defaults to None: those of the tables.

    Returns:
        Annotations: Lists ``kinetics400_{train,val,test}``, for what there is, and ``classes``.

    Raises:
        ValueError: If there is no official table, or it is not as expected.
    """
    rows: dict[str, list[tuple[Clip, str, str]]] = {}
    origin: dict[str, Path] = {}
    for path in _tables(source):
        for number, row in read_table(path, _COLUMNS):
            place = f"{path}, line {number}"
            split = _SPLITS.get(row["split"])
            if split is None:
                raise ValueError(f"{place}: split {row['split']!r}, expected one of train val test")
            if origin.setdefault(split, path) != path:
                raise ValueError(f"split {split!r} is in {origin[split]} and in {path}: keep one")
            try:
                span = (float(row["time_start"]), float(row["time_end"]))
            except ValueError as error:
                raise ValueError(f"{place}: expected times in seconds ({error})") from error
            clip = Clip(row["youtube_id"], span=span)
            rows.setdefault(split, []).append((clip, row.get("label", ""), place))
    if label_map is not None:
        classes = read_classes(label_map)
    else:
        classes = sorted({label for part in rows.values() for _, label, _ in part if label})
    labels = {name: label for label, name in enumerate(classes)}
    lists = []
    for split in sorted(rows, key=list(_OFFICIAL).index):
        clips = []
        for clip, name, place in rows[split]:
            if name and name not in labels:
                raise ValueError(f"{place}: class {name!r} is not in {label_map}")
            clips.append(Clip(clip.name, labels.get(name), clip.span))
        lists.append(AnnotationList(f"kinetics400_{split}", clips, _OFFICIAL[split]))
    warnings = []
    if label_map is None and len(classes) != 400:
        warnings.append(
            f"the tables have {len(classes)} of the 400 classes, so the labels are not the usual "
            "ones: give the full list with --classes"
        )
    return Annotations(lists, [ClassList("classes", classes, 400)], warnings)


def _tables(source: Path) -> list[Path]:
    """The tables of Kinetics in a folder, or the one given."""
    if source.is_file():
        return [source]
    tables = []
    for path in sorted(source.glob("*.csv")):
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            if set(_COLUMNS) <= set(file.readline().strip().split(",")):
                tables.append(path)
    if not tables:
        raise ValueError(
            f"{source}: expected the official tables train.csv, val.csv (or kinetics-400_val.csv "
            f"...) with columns label,{','.join(_COLUMNS)}"
        )
    return tables
