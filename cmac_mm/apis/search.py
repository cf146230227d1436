"""Search by audio or video among the media files of a folder."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..features import Hit, SearchIndex, VideoResult
from ..features.cache import named_files, weights_digest
from ..features.media_stamps import media_stamps
from ..preparation.annotations.files import AUDIO_SUFFIXES, VIDEO_SUFFIXES, scan_media
from ..version import FRONT_END_VERSION, __version__
from .inferencer import AudioVisualInferencer

_SAVE_SECONDS = 600.0
# What is compared, the first that a model gives.
_FIELDS = ("embedding", "feature")
_WORDS = {"visual": "picture", "audio": "sound"}


@dataclass(frozen=True)
class IndexChanges:
    """Changes of an index: files added, updated, removed and refused.

    Attributes:
        new (int): Files that were added.
        changed (int): Files that were computed again.
        deleted (int): Files that were no longer there.
        unchanged (int): Files that were left as they are.
        failed (dict[str, str]): Why files cannot be used, by file; also those known from before.
    """

    new: int
    changed: int
    deleted: int
    unchanged: int
    failed: dict[str, str]


def made_by(inferencer: AudioVisualInferencer, stride: float | None = None) -> dict[str, str]:
    """Describe the model that makes an index's vectors.

    Args:
        inferencer (AudioVisualInferencer): The model.
        stride (float, optional): From clip to clip, seconds. Defaults to None: the length of a
            clip.

    Returns:
        dict[str, str]: ``model``, its name; ``stride``, seconds; ``fingerprint``, made of the
        weights' values, the pipeline and the versions of the package and of its front end.
    """
    seconds = inferencer.clip_seconds if stride is None else stride
    parts = [
        weights_digest(inferencer.model),
        inferencer.pipeline,
        named_files(inferencer.pipeline),
        __version__,
        FRONT_END_VERSION,
    ]
    fingerprint = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    return dict(model=inferencer.name, stride=f"{seconds:g}", fingerprint=fingerprint)


def index_folder(
    inferencer: AudioVisualInferencer,
    folder: str | Path,
    index: SearchIndex,
    num_workers: int = 0,
    progress: bool = True,
) -> IndexChanges:
    """Bring an index up to date with the media files of a folder and its sub-folders.

    What is new, and what differs in size or time of change, is run through the model; what is no
    longer there is taken out. Files of other folders stay. It is written every ten minutes and at
    the end, also where the run is interrupted.

    Args:
        inferencer (AudioVisualInferencer): The model.
        folder (str | Path): The folder.
        index (SearchIndex): The index, opened with what :func:`made_by` says.
        num_workers (int): Processes that decode. Defaults to 0: a single one.
        progress (bool): Show a bar with the time left. Defaults to True.

    Returns:
        IndexChanges: What was done.

    Raises:
        ValueError: If the folder holds no media file.
    """
    root = Path(folder).resolve()
    suffixes = VIDEO_SUFFIXES + (AUDIO_SUFFIXES if "audio" in inferencer.modalities else ())
    files = [str(root / name) for name in scan_media(root, suffixes)]
    stamps = dict(zip(files, media_stamps(files).tolist(), strict=True))
    known = {name: stamp for name, stamp in index.stamps().items() if root in Path(name).parents}
    deleted = known.keys() - stamps.keys()
    changed = {name for name in known.keys() & stamps.keys() if known[name] != stamps[name]}
    todo = [name for name in files if name not in known or name in changed]
    index.forget(deleted | changed)
    try:
        _add(inferencer, todo, stamps, index, num_workers, progress)
    finally:
        if todo or deleted:
            index.save()
    failed = {name: why for name, why in index.problems().items() if root in Path(name).parents}
    return IndexChanges(
        new=len(todo) - len(changed),
        changed=len(changed),
        deleted=len(deleted),
        unchanged=len(files) - len(todo),
        failed=failed,
    )


def _add(
    inferencer: AudioVisualInferencer,
    files: list[str],
    stamps: dict[str, int],
    index: SearchIndex,
    num_workers: int,
    progress: bool,
) -> None:
    if not files:
        return
    saved = time.monotonic()
    stride = float(index.made_by["stride"])
    for result in inferencer.stream(files, stride, num_workers, progress):
        vectors = {name: result[field] for name, field in _fields(result).items()}
        problem = result.problem or ("" if vectors else "the model gives no vectors")
        index.add(result.source, stamps[result.source], result.starts, vectors, problem)
        if time.monotonic() - saved > _SAVE_SECONDS:
            index.save()
            saved = time.monotonic()


def _fields(result: VideoResult) -> dict[str, str]:
    """The field to compare, of each modality that a result has."""
    for kind in _FIELDS:
        found = {name: f"{name}_{kind}" for name in ("visual", "audio")}
        found = {name: field for name, field in found.items() if field in result.fields}
        if found:
            return found
    return {}


def search_file(
    inferencer: AudioVisualInferencer,
    index: SearchIndex,
    query: str | Path,
    by: str | None = None,
    find: str | None = None,
    count: int = 10,
) -> list[Hit]:
    """Search for files whose video or audio matches a file.

    Args:
        inferencer (AudioVisualInferencer): The model that made the index.
        index (SearchIndex): The index.
        query (str | Path): The file to search with.
        by (str, optional): What of it counts, ``'audio'`` or ``'visual'``. Defaults to None: the
            picture where it has one.
        find (str, optional): What is searched, ``'audio'`` or ``'visual'``. Defaults to None: the
            other one. Like with like passes over the file itself.
        count (int): Files at most. Defaults to 10.

    Returns:
        list[Hit]: The best clip of each file, best first.

    Raises:
        ValueError: If another model made the index, the query cannot be used or lacks what counts
            of it, or the model cannot compare the two.
    """
    index.check(made_by(inferencer, float(index.made_by["stride"])))
    (result,) = inferencer(str(query), progress=False)
    fields = _fields(result)
    by = by or next((name for name in ("visual", "audio") if name in fields), None)
    if by not in fields:
        raise ValueError(
            f"{query}: no vectors of its {_WORDS[by] if by else 'picture or sound'} to search by, "
            f"{inferencer.name} gave {', '.join(result.fields) or 'nothing'}"
        )
    find = find or {"visual": "audio", "audio": "visual"}[by]
    if by != find and not fields[by].endswith("_embedding"):
        raise ValueError(
            f"{inferencer.name} has no embeddings that picture and sound share: search like with "
            f"like, {_WORDS[by]} by {_WORDS[by]}"
        )
    own = (str(Path(query).resolve()),) if by == find else ()
    return index.search(find, np.asarray(result.whole(fields[by])), count, without=own)
