"""Reading annotation tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from pathlib import Path

from ...utils.read import decode_text


def read_table(path: Path, columns: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a csv file with a header line.

    Args:
        path (Path): The file.
        columns (Collection[str]): Columns that must be there.

    Yields:
        tuple[int, dict[str, str]]: Line number and fields of each row.

    Raises:
        ValueError: If the file is not a table, lacks a column, or a row is too short or too long.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise ValueError(f"{path} {what}: expected a csv table with {', '.join(columns)}")
    reader = csv.DictReader(io.StringIO(decode_text(path.read_bytes(), path), newline=""))
    try:
        present = reader.fieldnames or ()
        if not set(columns) <= set(present):
            raise ValueError(
                f"{path}: expected a csv table with columns {', '.join(columns)}, but its first "
                f"line has {', '.join(present) or 'none'}"
            )
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"{path}, line {reader.line_num}: expected {len(present)} fields")
            yield reader.line_num, row
    except csv.Error as error:
        line = reader.reader.line_num
        raise ValueError(f"{path}, line {line}: not readable as csv ({error})") from error
