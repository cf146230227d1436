"""AudioSet: official segments, and random subsets of the training part."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Sequence
from pathlib import Path

from ...utils.read import decode_text
from .lists import AnnotationList, Annotations, Clip

# Segments in the files of 2017. The web page of the set gives 22176, 2042985 and 20383.
_OFFICIAL = {"balanced_train": 22_160, "unbalanced_train": 2_041_789, "eval": 20_371}
_NUM_SEGMENTS = re.compile(r"#.*\bnum_segs=(\d+)")


# A line of a published subset, as AVID's authors name their files: id, start and end in ms.
_SUBSET_LINE = re.compile(r"(.{11})_(\d+)_(\d+)(\.\w+)?")


def read_audioset(
    folder: Path | None,
    subset_sizes: Sequence[int] = (100_000, 240_000),
    seed: int = 0,
    id_files: Sequence[Path] = (),
) -> Annotations:
    """Read the official segment files of AudioSet (Gemmeke et al., 2017), and published subsets.

    ``balanced_train_segments.csv``, ``unbalanced_train_segments.csv``, ``eval_segments.csv``:
    lines ``--4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"`` after comments. The lists have no
    labels, as a clip has several classes.

    A published subset is a file of lines ``ID_STARTMS_ENDMS.mp4``, such as that of AVID's ablations
    (``datasets/cache/audioset/unbalanced_train-100k.txt`` in its repository). It needs no segment
    files.

    The random subsets stand in for XDC's 240K, which were not published, and for AVID's 100K where
    one has not got its file. All training segments are ordered by a hash of the seed and their id,
    and the first ones whose files are found are taken. So a subset does not depend on the order of
    the official files, the smaller one is the beginning of the larger one, and two collections
    that lack different videos share nearly all of a subset: a lost video only pulls in the next
    one.

    Args:
        folder (Path, optional): Folder of the segment files; those that are not there are left
            out. None: only the published subsets are read.
        subset_sizes (Sequence[int]): Numbers of clips of the subsets. Defaults to 100000, 240000.
        seed (int): Seed of the order. Defaults to 0.
        id_files (Sequence[Path]): Files of published subsets. Defaults to none.

    Returns:
        Annotations: Lists ``audioset_{balanced_train,unbalanced_train,eval}``, one a random subset,
        such as ``audioset_train_240k``, and one a published subset, named as its file.

    Raises:
        ValueError: If there is neither a segment file nor a published subset, a file is not as
            expected, two lists have one name, or a size is below 1.
    """
    published = [AnnotationList(path.stem, _read_subset(path)) for path in id_files]
    official = Annotations([]) if folder is None else _read_official(folder, subset_sizes, seed)
    lists = official.lists + published
    names = [wanted.name for wanted in lists]
    if len(set(names)) < len(names):
        raise ValueError(f"two lists would have one name, rename the subset's file: {names}")
    return Annotations(lists, warnings=official.warnings)


def _read_subset(path: Path) -> list[Clip]:
    """The clips of a published subset, in its order; none twice."""
    clips: dict[str, Clip] = {}
    for number, line in enumerate(decode_text(path.read_bytes(), path).splitlines(), 1):
        name = line.strip()
        if not name:
            continue
        match = _SUBSET_LINE.fullmatch(name)
        if match is None or int(match[2]) >= int(match[3]):
            raise ValueError(
                f"{path}, line {number}: expected ID_START_END.mp4, a YouTube id of 11 characters "
                f"and times in milliseconds, found {name!r}"
            )
        if name in clips:
            raise ValueError(f"{path}, line {number}: {name} is there twice")
        clips[name] = Clip(match[1], span=(int(match[2]) / 1000, int(match[3]) / 1000))
    if not clips:
        raise ValueError(f"{path}: expected lines ID_START_END.mp4, found none")
    return list(clips.values())


def _read_official(folder: Path, subset_sizes: Sequence[int], seed: int) -> Annotations:
    """Lists of the segment files, and random subsets."""
    if any(size < 1 for size in subset_sizes):
        raise ValueError(f"sizes of subsets must be at least 1, not {list(subset_sizes)}")
    lists, warnings = [], []
    training: dict[str, Clip] = {}
    for part, official in _OFFICIAL.items():
        path = folder / f"{part}_segments.csv"
        if not path.is_file():
            warnings.append(f"{path} is not there, its list is not made")
            continue
        clips, stated = _read_segments(path)
        if stated not in (None, len(clips)):
            warnings.append(f"{path} says that it has {stated} segments, but has {len(clips)}")
        lists.append(AnnotationList(f"audioset_{part}", clips, official))
        if part != "eval":
            training |= {clip.name: clip for clip in clips}
    if not lists:
        raise ValueError(
            f"{folder}: expected the official balanced_train_segments.csv, "
            "unbalanced_train_segments.csv, eval_segments.csv; found none of them"
        )
    if training:
        drawn = sorted(training.values(), key=lambda clip: (_draw(seed, clip.name), clip.name))
        lists += [
            AnnotationList(f"audioset_train_{_size_name(size)}", drawn, limit=size)
            for size in sorted(set(subset_sizes))
        ]
    return Annotations(lists, warnings=warnings)


def _read_segments(path: Path) -> tuple[list[Clip], int | None]:
    """The segments of a file, and the number of them that its comments state."""
    clips, stated = [], None
    text = io.StringIO(decode_text(path.read_bytes(), path), newline="")
    reader = csv.reader(text, skipinitialspace=True)
    for fields in reader:
        if fields and fields[0].startswith("#"):
            match = _NUM_SEGMENTS.match(",".join(fields))
            stated = int(match[1]) if match else stated
        elif fields:
            try:
                name, start, end, _ = fields
                clips.append(Clip(name, span=(float(start), float(end))))
            except ValueError as error:
                raise ValueError(
                    f"{path}, line {reader.line_num}: expected 'YTID, start, end, \"labels\"' "
                    f"with times in seconds, found {', '.join(fields)!r}"
                ) from error
    return clips, stated


def _draw(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()


def _size_name(size: int) -> str:
    return f"{size // 1000}k" if size % 1000 == 0 else str(size)
