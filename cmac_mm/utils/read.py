"""Reading of users' files, with errors that name the file."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np

BLANKS = " \t\r\n"
"""What is cut off at the ends of a line. A file name may begin or end with any other character."""
_ARRAY_ERRORS = (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error)


def decode_text(content: bytes, name: str | Path) -> str:
    """Decode text in UTF-8, with or without a byte order mark.

    Args:
        content (bytes): What the file holds.
        name (str | Path): Its name, for the message.

    Raises:
        ValueError: If it is not UTF-8; tells the line and the byte.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{name}, line {number}: expected text in UTF-8, found the byte "
            f"0x{error.object[error.start]:02x} ({error.reason})"
        ) from error


def split_lines(text: str) -> list[str]:
    """Split a text into lines, with the line ends of any system.

    ``str.splitlines`` also splits at characters that a file name may hold, such as U+2028.

    Args:
        text (str): The text.
    """
    lines = re.split("\r\n|\n|\r", text)
    return lines if lines[-1] else lines[:-1]


def read_lines(path: str | Path) -> list[str]:
    """Read the lines of a text file in UTF-8, with or without a byte order mark.

    Args:
        path (str | Path): The file.

    Raises:
        ValueError: If it is not UTF-8.
        OSError: If it cannot be read.
    """
    return split_lines(decode_text(Path(path).read_bytes(), path))


def read_classes(path: str | Path) -> list[str]:
    """Read names of classes, one a line, in the order of the labels.

    Args:
        path (str | Path): The file; empty lines at its end do not count.

    Raises:
        ValueError: If there is no such file, it is empty, or a line in it is.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path}: there is no such file: expected one class name a line")
    names = [line.strip() for line in read_lines(path)]
    while names and not names[-1]:
        names.pop()
    if not all(names) or not names:
        line = names.index("") + 1 if names else 1
        raise ValueError(f"{path}, line {line}: expected the name of class {line - 1}, found none")
    return names


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Args:
        path (str | Path): The file.

    Raises:
        ValueError: If it is no JSON.
        OSError: If it cannot be read.
    """
    try:
        return json.loads(decode_text(Path(path).read_bytes(), path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from error


def read_array(path: str | Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    """Read an array of ``numpy.save``.

    Args:
        path (str | Path): The file, ``*.npy``.
        mmap_mode (str, optional): ``'r'``: mapped, to be read only. Defaults to None: into memory.

    Raises:
        ValueError: If the file is incomplete or no such array.
        FileNotFoundError: If there is no such file.
    """
    found = _load(path, mmap_mode)
    if not isinstance(found, np.ndarray):
        found.close()
        raise ValueError(f"{path}: expected one array (.npy), found an archive of arrays (.npz)")
    return found


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of a ``numpy.savez`` archive, by name.

    Args:
        path (str | Path): The file, ``*.npz``.

    Raises:
        ValueError: If the file is incomplete or no such archive.
        FileNotFoundError: If there is no such file.
    """
    found = _load(path)
    if isinstance(found, np.ndarray):
        raise ValueError(f"{path}: expected an archive of arrays (.npz), found one array (.npy)")
    with found:
        try:
            return {name: found[name] for name in found.files}
        except _ARRAY_ERRORS as error:
            raise _damaged(path, error) from error


def _load(path: str | Path, mmap_mode: Literal["r"] | None = None) -> Any:
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except PermissionError:
        raise
    except _ARRAY_ERRORS as error:
        raise _damaged(path, error) from error


def _damaged(path: str | Path, error: Exception) -> ValueError:
    size = Path(path).stat().st_size
    return ValueError(
        f"{path}: incomplete or not a NumPy file of plain numbers ({size} bytes; {error})"
    )
