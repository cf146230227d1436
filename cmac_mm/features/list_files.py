"""Features of a whole training list in memory-mapped files."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from functools import partial
from logging import WARNING
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmengine.dist import broadcast_object_list, get_rank, get_world_size, is_main_process
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch.utils.data import DataLoader, Dataset, SequentialSampler

from ..datasets.audio_visual_dataset import AudioVisualDataset
from ..datasets.av_reader import MediaError
from ..utils import fixed_random_state, read_array, write_npy, write_text
from ..utils.dist import wait_for_all_ranks
from ..utils.files import naming_full_disk, write_at
from .cache import feature_key, progress_bar
from .extract import eval_mode
from .media_stamps import file_names, media_stamps

_MISSING, _DONE, _REFUSED = 0, 1, 2
# What is computed counts as done only when it is safe on disk, which is seen to this often.
_FLUSH_SECONDS = 1.0


class FeatureFiles(NamedTuple):
    """Features of all rows of a list, memory-mapped.

    Args:
        features (dict[str, np.ndarray]): For each field `(N, D)` float32, memory-mapped; zeros
            where a file was refused.
        refused (np.ndarray): Whether the row's file was refused `(N,)`, bool.
    """

    features: dict[str, np.ndarray]
    refused: np.ndarray


class ListLoader:
    """Loader of any rows of a list, with the same augmentations each time.

    Args:
        dataset (Mapping[str, Any]): Config of an :class:`AudioVisualDataset` in test mode.
        batch_size (int): Rows a batch. Row i is always loaded in batch i // batch_size, so that
            its features have the same rounding whoever computes them, and whenever.
        num_workers (int): Loading processes.
    """

    def __init__(self, dataset: Mapping[str, Any], batch_size: int, num_workers: int) -> None:
        self.cfg = dataset
        self.dataset: AudioVisualDataset = DATASETS.build(deepcopy(dataset))
        self.batch_size = batch_size
        self.num_workers = num_workers

    def __len__(self) -> int:
        """Number of rows of the list."""
        return len(self.dataset)

    def load(self, rows: np.ndarray) -> DataLoader:
        """Yield batches of rows.

        Args:
            rows (np.ndarray): Row numbers, as many a batch as ``batch_size``.

        Returns:
            DataLoader: It gives ``(rows, refused, batch)``: the batch's row numbers, whether each
            was refused, and ``dict(inputs, data_samples)`` of the others, None if there are none.
        """
        dataset = _Rows(self.dataset, rows)
        cfg = dict(
            dataset=dataset,
            sampler=SequentialSampler(dataset),
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            collate_fn=dict(type="default_collate"),
        )
        loader = Runner.build_dataloader(cfg, seed=0)
        loader.collate_fn = partial(_collate, loader.collate_fn)
        return loader


class _Rows(Dataset):
    """Some rows of a list; of those that are refused, their number alone."""

    def __init__(self, dataset: AudioVisualDataset, rows: np.ndarray) -> None:
        self.dataset = dataset
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[int, dict | None]:
        row = int(self.rows[index])
        try:
            with fixed_random_state(row):
                return row, self.dataset[row]
        except MediaError as error:
            if self.dataset.bad_files.add(error.filename, error.reason):
                print_log(f"No features of a file: {error}", logger="current")
            return row, None


def _collate(
    collate: Callable[[list[dict]], dict], pairs: list[tuple[int, dict | None]]
) -> tuple[np.ndarray, np.ndarray, dict | None]:
    good = [sample for _, sample in pairs if sample is not None]
    refused = np.array([sample is None for _, sample in pairs])
    return np.array([row for row, _ in pairs]), refused, collate(good) if good else None


def extract_to_files(
    model: BaseModel,
    loader: ListLoader,
    folder: str | Path,
    fields: Mapping[str, int],
    key: Mapping[str, Any],
) -> FeatureFiles:
    """Extract features of all rows of a list to files ``<field>.npy``.

    Each rank computes a share and writes it into the files, in a folder that all ranks see. A run
    that was killed goes on where it was: which rows are done is in ``status.npy``, and what the
    features depend on (see :func:`feature_key`) in ``key.json``; where that differs, or a file is
    damaged, files are made anew. Rows whose media file has changed meanwhile, by size and time, are
    computed again. Rows whose file is refused are noted as such and counted in the log.

    Args:
        model (BaseModel): The model, whose ``test_step`` gives the fields; put into eval mode for
            the time and back afterwards.
        loader (ListLoader): The list.
        folder (str | Path): Folder of the files.
        fields (Mapping[str, int]): Fields of the data samples to keep, and their lengths D.
        key (Mapping[str, Any]): What else the features depend on, as JSON can hold it.

    Returns:
        FeatureFiles: The features, and which rows were refused.

    Raises:
        ValueError: If a field is missing or of another length.
        RuntimeError: If all files are refused, rows are missing in the end, or there is no room;
            once there is, the same call goes on.
    """
    folder = Path(folder)
    files = {field: folder / f"{field}.npy" for field in fields}
    status_file = folder / "status.npy"
    key = dict(key, batch_size=loader.batch_size, sizes=dict(fields))
    if is_main_process():
        text = json.dumps(feature_key(model, dict(dataset=loader.cfg), key, list(fields)))
        shapes = {files[field]: (len(loader), size) for field, size in fields.items()}
        stamps = media_stamps(file_names(loader.dataset))
        _prepare(folder, text, shapes, status_file, stamps)
    wait_for_all_ranks()
    # One view for all: the shares must not depend on what other ranks have done meanwhile.
    missing = [_missing_batches(np.load(status_file), loader.batch_size)]
    broadcast_object_list(missing)
    share = missing[0][get_rank() :: get_world_size()]
    if len(share):
        with _Writer(files, status_file) as writer:
            _compute(model, loader, share, fields, writer)
    wait_for_all_ranks()
    status = np.load(status_file)
    lacking = int((status == _MISSING).sum())
    if lacking:
        raise RuntimeError(
            f"{folder}: features of {lacking} of {len(status)} videos are not there: all ranks "
            "must see the same folder, and nobody may empty it meanwhile"
        )
    refused = status == _REFUSED
    if refused.all():
        raise RuntimeError(
            f"all {len(refused)} files of {loader.cfg['ann_file']} were refused: are the list and "
            "data_prefix right?"
        )
    features = {field: np.load(path, mmap_mode="r") for field, path in files.items()}
    return FeatureFiles(features, refused)


def _prepare(
    folder: Path, key: str, shapes: dict[Path, tuple[int, int]], status: Path, stamps: np.ndarray
) -> None:
    """Make empty files, unless those of the same features are there; strike out changed rows."""
    folder.mkdir(parents=True, exist_ok=True)
    key_file, stamp_file = folder / "key.json", folder / "file_stamps.npy"
    if key_file.is_file() and key_file.read_bytes() == key.encode():
        try:
            for path, shape in shapes.items():
                _check_array(read_array(path, "r"), np.float32, shape, path)
            done, old = read_array(status), read_array(stamp_file)
            _check_array(done, np.uint8, stamps.shape, status)
            _check_array(old, np.int64, stamps.shape, stamp_file)
        except (ValueError, FileNotFoundError) as error:
            print_log(f"All features are computed again: {error}", "current", WARNING)
        else:
            changed = old != stamps
            if changed.any():
                print_log(
                    f"{changed.sum()} of {len(stamps)} media files have changed since the "
                    "extraction began: theirs are computed again",
                    "current",
                    WARNING,
                )
                done[changed] = _MISSING
                write_npy(status, done)
                write_npy(stamp_file, stamps)  # only now, or a kill here would hide the change
            return
    key_file.unlink(missing_ok=True)  # before what it stands for
    for path, shape in shapes.items():
        path.unlink(missing_ok=True)  # may still be mapped
        with naming_full_disk(path, 4 * shape[0] * shape[1]):
            np.lib.format.open_memmap(path, "w+", np.float32, shape)
    write_npy(status, np.zeros(len(stamps), dtype=np.uint8))
    write_npy(stamp_file, stamps)
    write_text(key_file, key)


def _check_array(array: np.ndarray, dtype: type, shape: tuple[int, ...], path: Path) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(
            f"{path} holds {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}"
        )


def _missing_batches(status: np.ndarray, batch_size: int) -> np.ndarray:
    """Numbers of the batches with a row that is missing."""
    return np.unique(np.flatnonzero(status == _MISSING) // batch_size)


class _Writer:
    """Writes rows of the files, and their status once they are on disk.

    Through a file and not a mapping: ranks on several machines may write into one page of a file.
    """

    def __init__(self, files: dict[str, Path], status: Path) -> None:
        self._arrays = {name: np.load(path, mmap_mode="r") for name, path in files.items()}
        self._open = ExitStack()
        self._paths, self._status_path = files, status
        self._files = {
            name: self._open.enter_context(path.open("r+b")) for name, path in files.items()
        }
        self._status_offset = np.load(status, mmap_mode="r").offset
        self._status_file = self._open.enter_context(status.open("r+b"))
        self._pending: list[tuple[int, np.ndarray]] = []
        self._flushed = time.monotonic()
        self._broken = False

    def write(self, first_row: int, values: dict[str, np.ndarray], status: np.ndarray) -> None:
        self._broken = True  # until all is written
        for name, value in values.items():
            array = self._arrays[name]
            offset = array.offset + first_row * array.strides[0]
            with naming_full_disk(self._paths[name]):
                write_at(self._files[name].fileno(), value.tobytes(), offset)
        self._broken = False
        self._pending.append((first_row, status))
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        # An error that a file system reports late, it reports once: nothing is marked after it.
        self._broken = True
        for name, file in self._files.items():
            with naming_full_disk(self._paths[name]):
                os.fsync(file.fileno())
        with naming_full_disk(self._status_path):
            for first_row, status in self._pending:
                offset = self._status_offset + first_row
                write_at(self._status_file.fileno(), status.tobytes(), offset)
            os.fsync(self._status_file.fileno())
        self._broken = False
        self._pending, self._flushed = [], time.monotonic()

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *error: object) -> None:
        with self._open:
            if not self._broken:
                self.flush()


def _compute(
    model: BaseModel,
    loader: ListLoader,
    batches: np.ndarray,
    fields: Mapping[str, int],
    writer: _Writer,
) -> None:
    """Run the model over some batches of the list."""
    size = loader.batch_size
    rows = np.concatenate([np.arange(b * size, min((b + 1) * size, len(loader))) for b in batches])
    with eval_mode(model), torch.no_grad(), progress_bar(True) as bar:
        task = bar.add_task("features", total=len(rows))
        for batch_rows, refused, batch in loader.load(rows):
            samples = [] if batch is None else model.test_step(batch)
            values = {name: np.zeros((len(refused), fields[name]), np.float32) for name in fields}
            for name, value in values.items():
                if samples:
                    value[~refused] = _stack(model, samples, name, fields[name])
            status = np.where(refused, _REFUSED, _DONE).astype(np.uint8)
            writer.write(int(batch_rows[0]), values, status)
            bar.update(task, advance=len(batch_rows))


def _stack(
    model: BaseModel, samples: Sequence[BaseDataElement], field: str, length: int
) -> np.ndarray:
    """One field of a batch `(B, D)`."""
    if any(field not in sample for sample in samples):
        raise ValueError(f"{type(model).__name__} gave no field {field!r}")
    stacked = torch.stack([sample.get(field) for sample in samples]).float().cpu().numpy()
    if stacked.shape[1:] != (length,):
        raise ValueError(
            f"{field} has shape {stacked.shape[1:]} a sample, the model's config says {length} "
            "channels"
        )
    return stacked
