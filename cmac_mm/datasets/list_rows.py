"""Rows of a list as arrays: in memory, or in one file that all processes map."""

from __future__ import annotations

import errno
import hashlib
import struct
from array import array
from collections.abc import Iterator, Sequence
from io import BytesIO
from logging import WARNING
from pathlib import Path
from typing import BinaryIO, NamedTuple, overload

import numpy as np
from mmengine.fileio import get as get_file
from mmengine.logging import print_log

from ..utils import BLANKS, split_lines
from ..utils.files import replacing
from ..utils.lock import only_one
from ..utils.read import decode_text

# A list that is longer is kept as arrays in a file beside it.
_LARGE = 1 << 25
_BLOCK = 1 << 24
_MARK = b"\xef\xbb\xbf"
_MAX_LABEL = 2**31 - 1
# At the end of the file: rows, bytes of paths, size and time of change of the list, SHA-256 of the
# paths, and what kind of file it is.
_END = struct.Struct("<4q32s8s")
_KIND = b"cmacrow1"


def is_address(name: str) -> bool:
    """Whether a name in a list is an address (``s3://bucket/key``), as MMEngine tells them."""
    return "://" in name


class Table(NamedTuple):
    """What a list says, row by row.

    Args:
        paths (np.ndarray): All paths in UTF-8, a line feed after each; uint8.
        ends (np.ndarray): Where each row's path ends, its line feed included `(N,)`, int64.
        labels (np.ndarray): Labels `(N,)`, int32, -1 where there is none.
        digest (bytes): SHA-256 of ``paths``, which tells the list from others.
        file (str | None): The file that the arrays are mapped from; None in memory.
    """

    paths: np.ndarray
    ends: np.ndarray
    labels: np.ndarray
    digest: bytes
    file: str | None = None


class ListRows(Sequence[dict]):
    """Rows of a list as samples begin: ``filename``, ``label`` if there is one, and ``row``.

    A dictionary is made when it is asked for. Copies share the arrays; so do processes, forked ones
    and, where the arrays are in a file, all that map it.

    Args:
        table (Table): The whole list.
        prefix (str): Folder or address before paths that are relative. Defaults to ``''``.
        rows (np.ndarray, optional): Rows that there are, in their order. Defaults to None: all.
    """

    def __init__(self, table: Table, prefix: str = "", rows: np.ndarray | None = None) -> None:
        self.table = table
        self.prefix = prefix
        self.rows = rows

    def __len__(self) -> int:
        return len(self.table.ends) if self.rows is None else len(self.rows)

    @overload
    def __getitem__(self, index: int) -> dict: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int]) -> ListRows: ...
    def __getitem__(self, index: int | slice | Sequence[int]) -> dict | ListRows:
        if isinstance(index, slice | Sequence):
            rows = np.arange(len(self)) if self.rows is None else self.rows
            part = index if isinstance(index, slice) else np.array(index, dtype=np.int64)
            return ListRows(self.table, self.prefix, rows[part])
        row = range(len(self))[index]
        if self.rows is not None:
            row = int(self.rows[row])
        start = int(self.table.ends[row - 1]) if row else 0
        name = self.table.paths[start : int(self.table.ends[row]) - 1].tobytes().decode()
        if self.prefix and not (name.startswith("/") or is_address(name)):
            name = f"{self.prefix.rstrip('/')}/{name}"
        info: dict[str, str | int] = dict(filename=name)
        label = int(self.table.labels[row])
        if label >= 0:
            info["label"] = label
        return {**info, "row": row}

    def __deepcopy__(self, memo: dict) -> ListRows:
        return self

    def __reduce__(self) -> tuple:
        if self.table.file is None:
            return ListRows, (self.table, self.prefix, self.rows)
        return _reopen, (self.table.file, self.table.digest, self.prefix, self.rows)

    def labels(self) -> np.ndarray:
        """Labels of the whole list `(N,)`, int32, -1 of rows that have none or are left out."""
        if self.rows is None:
            return self.table.labels
        labels = np.full(len(self.table.labels), -1, dtype=np.int32)
        labels[self.rows] = self.table.labels[self.rows]
        return labels


def read_table(ann_file: str, backend_args: dict | None = None) -> Table:
    """Read a list.

    A local one of more than 32 MiB is read once, into a file ``.NAME.rows`` beside it, which
    processes of all ranks then map: it takes the length of a path and 13 bytes a row once a
    machine, and nothing to start. Of several processes one writes it and the others wait. It is
    made anew when size or time of change of the list differ. Where that folder cannot be written
    to, each process reads the list into its memory, which is logged.

    Args:
        ann_file (str): The list, see :class:`AudioVisualDataset`.
        backend_args (dict, optional): Storage of the list where it is not local. Defaults to None.

    Raises:
        ValueError: If a line cannot be understood, or it is no list.
        FileNotFoundError: If there is no such list.
    """
    path = Path(ann_file)
    if backend_args is not None or not path.is_file() or path.stat().st_size <= _LARGE:
        return _in_memory(ann_file, read_content(ann_file, backend_args))
    file = path.with_name(f".{path.name}.rows")
    found = _open(file, path)
    if found is not None:
        return found
    try:
        with only_one(file, "writes"):
            found = _open(file, path)
            if found is None:
                _write(file, path)
                found = _open(file, path)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        print_log(
            f"{file} cannot be written ({error.strerror}): each process has its own copy of "
            "the list in memory",
            "current",
            WARNING,
        )
        return _in_memory(ann_file, path.read_bytes())
    if found is None:
        raise RuntimeError(f"{path} was changed while it was read: start again")
    return found


def _in_memory(ann_file: str, content: bytes) -> Table:
    paths = BytesIO()
    ends, labels, digest = _compile(BytesIO(content), ann_file, paths)
    return Table(
        np.frombuffer(paths.getbuffer(), np.uint8),
        np.frombuffer(ends, np.int64),
        np.frombuffer(labels, np.int32),
        digest,
    )


def list_lines(ann_file: str, backend_args: dict | None = None) -> Iterator[tuple[int, str]]:
    """Lines of a list that are not empty, without blanks at their ends, and their numbers.

    Args:
        ann_file (str): The list.
        backend_args (dict, optional): Its storage, where it is not local. Defaults to None.
    """
    text = decode_text(read_content(ann_file, backend_args), ann_file)
    for number, line in enumerate(split_lines(text), start=1):
        if line.strip(BLANKS):
            yield number, line.strip(BLANKS)


def read_content(ann_file: str, backend_args: dict | None = None) -> bytes:
    """What a list holds.

    Args:
        ann_file (str): The list.
        backend_args (dict, optional): Its storage, where it is not local. Defaults to None.

    Raises:
        ValueError: If it is a folder.
        FileNotFoundError: If there is no such list.
    """
    try:
        return get_file(ann_file, backend_args=backend_args)
    except IsADirectoryError as error:
        raise ValueError(
            f"{ann_file} is a folder: expected a list, a text file of lines 'path label'"
        ) from error
    except FileNotFoundError as error:
        hint = ", and ~ is not expanded in configs" if ann_file.startswith("~") else ""
        raise FileNotFoundError(f"{ann_file}: there is no such list (ann_file){hint}") from error


def _compile(source: BinaryIO, name: str, paths: BinaryIO) -> tuple[array, array, bytes]:
    """Write the paths of a list; returns ends, labels and digest."""
    ends, labels, digest = array("q"), array("i"), hashlib.sha256()
    number = total = 0
    for block in _blocks(source):
        try:
            text = block.decode()
        except UnicodeDecodeError:
            source.seek(0)
            decode_text(source.read(), name)  # tells the line
            raise
        found = []
        for line in split_lines(text):
            number += 1
            line = line.strip(BLANKS)
            if line:
                path, label = parse_line(line, name, number)
                found.append(path)
                labels.append(label)
        if found:
            encoded = ("\n".join(found) + "\n").encode()
            places = np.flatnonzero(np.frombuffer(encoded, np.uint8) == ord("\n")) + (total + 1)
            ends.frombytes(places.astype(np.int64).tobytes())
            total += len(encoded)
            digest.update(encoded)
            paths.write(encoded)
    return ends, labels, digest.digest()


def _blocks(source: BinaryIO) -> Iterator[bytes]:
    """Parts of a text, cut at line feeds, without byte order mark."""
    rest = source.read(len(_MARK)).removeprefix(_MARK)
    while block := source.read(_BLOCK):
        whole, feed, block = block.rpartition(b"\n")
        if feed:
            yield rest + whole + feed
            rest = block
        else:
            rest += block
    yield rest


def parse_line(line: str, name: str, number: int) -> tuple[str, int]:
    """Path and label of a line.

    Args:
        line (str): The line, without blanks at its ends.
        name (str): The list, for errors.
        number (int): Number of the line, likewise.

    Returns:
        tuple[str, int]: The label is -1 if there is none.

    Raises:
        ValueError: If it cannot be understood.
    """
    blank = max(line.rfind(" "), line.rfind("\t"))
    path, label = line[:blank].rstrip(BLANKS), line[blank + 1 :]
    known = blank < 0 or (label.isascii() and label.isdecimal() and int(label) <= _MAX_LABEL)
    if "\0" in line or not known:
        raise ValueError(
            f"{name}, line {number}: expected 'path label' with a whole number from 0 to "
            f"{_MAX_LABEL} as label, or a path without spaces, found {_short(line)!r}"
        )
    return (label, -1) if blank < 0 else (path, int(label))


def _short(line: str) -> str:
    return line if len(line) <= 200 else f"{line[:200]}..."


def _write(file: Path, path: Path) -> None:
    """Make the file of a list's arrays."""
    print_log(f"{path} is read into {file}, once for all runs", "current")
    stamp = _stamp(path)
    with replacing(file) as temporary, temporary.open("wb") as out:
        with path.open("rb") as source:
            ends, labels, digest = _compile(source, str(path), out)
        size = out.tell()
        out.write(bytes(-size % 8))
        out.write(ends)
        out.write(labels)
        out.write(_END.pack(len(ends), size, *stamp, digest, _KIND))


def _open(file: Path, path: Path | None = None) -> Table | None:
    """Map the file of a list's arrays; None if it is not there, or of another state of the list."""
    if not file.is_file():
        return None
    with file.open("rb") as content:
        size = content.seek(0, 2)
        content.seek(max(0, size - _END.size))
        end = content.read(_END.size)
    if len(end) < _END.size:
        return None
    rows, length, *stamp, digest, kind = _END.unpack(end)
    first = length + -length % 8
    if kind != _KIND or size != first + 12 * rows + _END.size:
        return None
    if path is not None and tuple(stamp) != _stamp(path):
        return None
    mapped = np.asarray(np.memmap(file, np.uint8, "r"))
    ends = mapped[first : first + 8 * rows].view(np.int64)
    labels = mapped[first + 8 * rows : first + 12 * rows].view(np.int32)
    return Table(mapped[:length], ends, labels, digest, str(file))


def _reopen(file: str, digest: bytes, prefix: str, rows: np.ndarray | None) -> ListRows:
    """The rows again, in a process that was not forked."""
    table = _open(Path(file))
    if table is None or table.digest != digest:
        raise RuntimeError(f"{file} is no longer there, or of another list: start again")
    return ListRows(table, prefix, rows)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
