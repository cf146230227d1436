"""Reading annotation tables."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path


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
        raise ValueError(f"{path} does not exist: expected a csv table with {', '.join(columns)}")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
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
