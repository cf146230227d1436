"""Features on disk as rows to be clustered."""

from __future__ import annotations

import mmap
from collections.abc import Sequence

import numpy as np

_FAR_ROWS = 16  # read between two releases; each may map up to 2 MB of the file around it


class FeatureSource:
    """Rows of one or several arrays side by side, read a few at a time.

    Arrays may be memory-mapped: pages are given back after each reading, so that the process never
    holds more of a file than what it reads at a time.

    Args:
        arrays (Sequence[np.ndarray]): Features `(N, D_i)`, floating point; ``np.load(path,
            mmap_mode='r')`` or in memory. Several are concatenated to `(N, sum of D_i)`, as
            CDC clusters both modalities (Alwassel et al. 2020, section 3).
        rows (np.ndarray, optional): Row numbers that count `(M,)`, such as those of readable
            samples. Defaults to None: all N.
        normalize (bool): Scale the rows of each array to length 1; rows of zeros stay. Defaults
            to True.

    Raises:
        ValueError: If the arrays are not of floating point or not `(N, D)` with one N, or a row
            number is outside of them.
    """

    def __init__(
        self,
        arrays: Sequence[np.ndarray],
        rows: np.ndarray | None = None,
        normalize: bool = True,
    ) -> None:
        shapes = [array.shape for array in arrays]
        if (
            not arrays
            or any(len(shape) != 2 for shape in shapes)
            or len({s[0] for s in shapes}) > 1
        ):
            raise ValueError(f"expected arrays (N, D) of one N, got shapes {shapes}")
        for array in arrays:
            if not np.issubdtype(array.dtype, np.floating):
                raise ValueError(f"{_name(array)}: expected floating point, got {array.dtype}")
        total = shapes[0][0]
        if rows is not None:
            rows = np.asarray(rows)
            if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer):
                raise ValueError(f"rows must be integers (M,), got {rows.dtype} {rows.shape}")
            if len(rows) and not 0 <= rows.min() <= rows.max() < total:
                raise ValueError(
                    f"rows must be from 0 to {total - 1}, got {rows.min()} to {rows.max()}"
                )
        self.arrays = list(arrays)
        self.rows = rows
        self.normalize = normalize
        self.dim = sum(shape[1] for shape in shapes)
        self._length = total if rows is None else len(rows)

    def __len__(self) -> int:
        return self._length

    def read(self, index: slice | np.ndarray) -> np.ndarray:
        """Read some rows into memory.

        Args:
            index (slice | np.ndarray): Which, counted among those that count. Rising numbers are
                read from a disk in one go.

        Returns:
            np.ndarray: `(n, dim)`, float32.

        Raises:
            ValueError: If a value is not finite; it names the row and the file.
        """
        rows = index if self.rows is None else self.rows[index]
        parts = [self._read(array, rows) for array in self.arrays]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _read(self, array: np.ndarray, rows: slice | np.ndarray) -> np.ndarray:
        numbers = range(len(array))[rows] if isinstance(rows, slice) else rows
        part = np.empty((len(numbers), array.shape[1]), dtype=np.float32)
        if isinstance(rows, slice) or len(rows) == 0 or np.ptp(rows) < 2 * len(rows):
            part[:] = array[rows]
            _release(array)
        else:
            for start in range(0, len(part), _FAR_ROWS):
                part[start : start + _FAR_ROWS] = array[rows[start : start + _FAR_ROWS]]
                _release(array)
        squares = np.einsum("nd,nd->n", part, part)
        finite = np.isfinite(squares)
        if not finite.all():
            raise ValueError(
                f"{_name(array)}: row {numbers[finite.argmin()]} holds values that are not finite, "
                f"or too large for float32; so do {(~finite).sum()} of the {len(part)} rows read "
                "with it"
            )
        if self.normalize:
            part /= np.sqrt(np.where(squares > 0, squares, 1))[:, None]
        return part


def _release(array: np.ndarray) -> None:
    """Give back the pages of a file that were mapped; they come again when wanted."""
    mapping = getattr(array, "_mmap", None)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def _name(array: np.ndarray) -> str:
    """What errors call an array."""
    return f"features in {getattr(array, 'filename', None) or 'memory'}"
