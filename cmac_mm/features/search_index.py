"""Search index: vectors of clips on disk."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..utils.files import replacing
from ..utils.lock import lock_work_dir, unlock_work_dir

if TYPE_CHECKING:
    import faiss

_VERSION = 1
_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE files (
    id INTEGER PRIMARY KEY, path BLOB UNIQUE NOT NULL, stamp INTEGER NOT NULL,
    problem TEXT NOT NULL
);
CREATE TABLE clips (
    id INTEGER PRIMARY KEY AUTOINCREMENT, file INTEGER NOT NULL REFERENCES files,
    start REAL NOT NULL
);
CREATE INDEX clips_of_file ON clips (file);
"""
_ASKED_AT_A_TIME = 500  # SQLite takes 999 values in old versions


@dataclass(frozen=True)
class Hit:
    """File found by a search.

    Attributes:
        path (str): The file.
        start (float): Where its most similar clip begins, seconds.
        similarity (float): Cosine of that clip and the query.
    """

    path: str
    start: float
    similarity: float


class SearchIndex:
    """Index of the clips of files, in one or both modalities, with exact search.

    A folder with ``index.sqlite``, which says what is there and which model made it, and a faiss
    file a modality (a flat index of inner products of vectors of length 1). What is added or
    forgotten is on disk after :meth:`save`, all of it or, if the process dies, nothing.

    Args:
        folder (str | Path): The folder.
        made_by (Mapping[str, str], optional): To write: what the vectors come from, by name, with
            ``fingerprint``, which tells one model from another. An index that another one made
            is refused. Defaults to None: to read.

    Raises:
        FileNotFoundError: If there is no index to read.
        ValueError: If it was made by another model or another version of this class, another
            process writes there, or a file is damaged.
    """

    def __init__(self, folder: str | Path, made_by: Mapping[str, str] | None = None) -> None:
        self.folder = Path(folder)
        path = self.folder / "index.sqlite"
        if made_by is None:
            if not path.is_file():
                raise FileNotFoundError(
                    f"{path}: there is no index: make one with tools/search.py index"
                )
        else:
            lock_work_dir(self.folder)
        self._rows = sqlite3.connect(path)
        try:
            self._open(path, made_by)
        except sqlite3.DatabaseError as error:
            self.close()
            raise ValueError(f"{path}: damaged, or no index ({error})") from error
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, made_by: Mapping[str, str] | None) -> None:
        if made_by is not None and not self._rows.execute("SELECT 1 FROM sqlite_master").fetchone():
            self._rows.executescript(_TABLES)
            about = dict(version=str(_VERSION), generation="0", made_by=json.dumps(dict(made_by)))
            self._rows.executemany("INSERT INTO about VALUES (?, ?)", about.items())
            self._rows.commit()
        about = self._about()
        if about.get("version") != str(_VERSION):
            raise ValueError(f"{path}: version {about.get('version')}, expected {_VERSION}")
        self.made_by: dict[str, str] = json.loads(about["made_by"])
        if made_by is not None:
            self.check(made_by)
        while True:  # somebody who writes may take the files away before they are read
            self._generation = int(self._about()["generation"])
            names = [name for name in ("visual", "audio") if self._file(name).is_file()]
            try:
                self._vectors = {name: self._read(name) for name in names}
            except ValueError:
                if int(self._about()["generation"]) == self._generation:
                    raise
            if int(self._about()["generation"]) == self._generation:
                return

    def _about(self) -> dict[str, str]:
        return dict(self._rows.execute("SELECT key, value FROM about"))

    def check(self, made_by: Mapping[str, str]) -> None:
        """Raise an error for another model than that of the index.

        Args:
            made_by (Mapping[str, str]): Of the model.

        Raises:
            ValueError: If it is another one.
        """
        if self.made_by["fingerprint"] != made_by["fingerprint"]:
            stored, given = (
                ", ".join(f"{key} {value}" for key, value in about.items())
                for about in (self.made_by, made_by)
            )
            raise ValueError(
                f"{self.folder} was made by another model ({stored}) than this one ({given}), and "
                "their vectors mean nothing to each other: use that one, or make another index"
            )

    def _file(self, modality: str) -> Path:
        return self.folder / f"{modality}-{self._generation}.faiss"

    def _read(self, modality: str) -> faiss.Index:
        import faiss

        path = self._file(modality)
        try:
            return faiss.read_index(str(path))
        except RuntimeError as error:
            raise ValueError(f"{path}: damaged, or no faiss index ({error})") from error

    def close(self) -> None:
        """Discard unsaved changes and unlock the index. May be called more than once."""
        self._rows.close()
        unlock_work_dir(self.folder)

    def __enter__(self) -> SearchIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Number of clips."""
        return self._rows.execute("SELECT COUNT(*) FROM clips").fetchone()[0]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities of the vectors."""
        return tuple(name for name, index in self._vectors.items() if index.ntotal)

    def stamps(self) -> dict[str, int]:
        """Stamp of each file's version."""
        rows = self._rows.execute("SELECT path, stamp FROM files")
        return {os.fsdecode(path): stamp for path, stamp in rows}

    def problems(self) -> dict[str, str]:
        """Reasons why files have no clips in the index, by file."""
        rows = self._rows.execute("SELECT path, problem FROM files WHERE problem != ''")
        return {os.fsdecode(path): problem for path, problem in rows}

    def add(
        self,
        path: str,
        stamp: int,
        starts: np.ndarray,
        vectors: Mapping[str, np.ndarray],
        problem: str = "",
    ) -> None:
        """Add a new file.

        Args:
            path (str): The file.
            stamp (int): What tells its version.
            starts (np.ndarray): Where its clips begin, seconds, (N,).
            vectors (Mapping[str, np.ndarray]): By modality (N, D); scaled to length 1 here.
            problem (str): Why there are no clips. Defaults to '': there are.

        Raises:
            ValueError: If numbers of clips, or lengths of vectors, differ, or one is not finite.
        """
        for name, rows in vectors.items():
            if rows.ndim != 2 or len(rows) != len(starts) or not np.isfinite(rows).all():
                raise ValueError(
                    f"{path}: expected {len(starts)} finite {name} vectors, got {rows.shape}"
                )
            known = self._vectors.get(name)
            if known is not None and known.d != rows.shape[1]:
                raise ValueError(
                    f"{path}: {name} vectors of {rows.shape[1]} values, those of {self.folder} "
                    f"have {known.d}"
                )
        run = self._rows.execute
        file = run(
            "INSERT INTO files (path, stamp, problem) VALUES (?, ?, ?)",
            (os.fsencode(path), int(stamp), problem),
        ).lastrowid
        ids = [
            run("INSERT INTO clips (file, start) VALUES (?, ?)", (file, float(start))).lastrowid
            for start in starts
        ]
        for name, rows in vectors.items():
            if name not in self._vectors:
                self._vectors[name] = _new_index(rows.shape[1])
            self._vectors[name].add_with_ids(_unit(rows), np.array(ids, np.int64))

    def forget(self, paths: Iterable[str]) -> None:
        """Remove files and their clips.

        Args:
            paths (Iterable[str]): Files that are there.
        """
        gone = []
        for path in paths:
            name = (os.fsencode(path),)
            (file,) = self._rows.execute("SELECT id FROM files WHERE path = ?", name).fetchone()
            gone += self._rows.execute("SELECT id FROM clips WHERE file = ?", (file,)).fetchall()
            self._rows.execute("DELETE FROM clips WHERE file = ?", (file,))
            self._rows.execute("DELETE FROM files WHERE id = ?", (file,))
        ids = np.array(gone, np.int64).ravel()
        if len(ids):
            for index in self._vectors.values():
                index.remove_ids(ids)

    def save(self) -> None:
        """Write the changes.

        Raises:
            RuntimeError: If there is no room; the index on disk stays as it was.
        """
        import faiss

        self._generation += 1
        for name, index in self._vectors.items():
            with replacing(self._file(name)) as temporary:
                faiss.write_index(index, str(temporary))
        number = (str(self._generation),)
        self._rows.execute("UPDATE about SET value = ? WHERE key = 'generation'", number)
        self._rows.commit()
        current = [self._file(name) for name in self._vectors]
        for path in self.folder.glob("*.faiss"):
            if path not in current:
                path.unlink()

    def search(
        self, modality: str, vector: np.ndarray, count: int = 10, without: Collection[str] = ()
    ) -> list[Hit]:
        """Find the files with the clips most similar to a vector.

        Args:
            modality (str): Of the clips, ``'visual'`` or ``'audio'``.
            vector (np.ndarray): The query, (D,), of any length.
            count (int): Files at most. Defaults to 10.
            without (Collection[str]): Files to pass over. Defaults to none.

        Returns:
            list[Hit]: The best clip of each file, best first.

        Raises:
            ValueError: If there are no vectors of this modality, or they have another length.
        """
        index = self._vectors.get(modality)
        if index is None or not index.ntotal:
            raise ValueError(f"{self.folder} has no {modality} vectors, it has {self.modalities}")
        if vector.shape != (index.d,):
            raise ValueError(
                f"query of shape {vector.shape}: the {modality} vectors of {self.folder} have "
                f"{index.d} values"
            )
        wanted = 4 * count
        while True:
            similarities, ids = index.search(_unit(vector[None]), min(wanted, index.ntotal))
            hits = self._best_of_files(ids[0], similarities[0], without)
            if len(hits) >= count or wanted >= index.ntotal:
                return hits[:count]
            wanted *= 4  # long files have many clips

    def _best_of_files(
        self, ids: np.ndarray, similarities: np.ndarray, without: Collection[str]
    ) -> list[Hit]:
        rows: dict[int, tuple[bytes, float]] = {}
        numbers = ids.tolist()
        for first in range(0, len(numbers), _ASKED_AT_A_TIME):
            part = numbers[first : first + _ASKED_AT_A_TIME]
            marks = ", ".join("?" * len(part))
            question = (
                "SELECT clips.id, path, start FROM clips JOIN files ON files.id = clips.file "
                f"WHERE clips.id IN ({marks})"
            )
            rows.update({i: (path, start) for i, path, start in self._rows.execute(question, part)})
        hits: dict[str, Hit] = {}
        for number, similarity in zip(numbers, similarities.tolist(), strict=True):
            path, start = os.fsdecode(rows[number][0]), rows[number][1]
            if path not in without:
                hits.setdefault(path, Hit(path, start, similarity))
        return list(hits.values())


def _new_index(length: int) -> faiss.Index:
    import faiss

    return faiss.IndexIDMap(faiss.IndexFlatIP(length))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float32."""
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
