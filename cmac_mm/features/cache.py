"""Cache of a dataset's features on disk."""

import hashlib
import io
import json
import os
import time
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import deepcopy
from logging import WARNING
from pathlib import Path
from typing import Any

import torch
from mmaction.registry import DATASETS
from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    get_rank,
    get_world_size,
    is_main_process,
)
from mmengine.fileio import get as get_file
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import Dataset, SequentialSampler

from ..utils import fixed_random_state, load_checkpoint, write_bytes, write_text
from ..utils.dist import wait_for_all_ranks
from ..version import FRONT_END_VERSION, __version__
from .extract import FEATURE_FIELDS, eval_mode, feature_records, need_any_field, stack_records
from .media_stamps import file_digest, file_names, media_stamps

# A part is written when either is reached.
_PART_SIZE = 256
_PART_SECONDS = 60.0


class _Rows(Dataset):
    """Some rows of a data set, each with random draws of its own and its row in its data sample."""

    def __init__(self, dataset: Dataset, rows: Sequence[int]) -> None:
        self.dataset = dataset
        self.rows = list(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        row = self.rows[index]
        with fixed_random_state(row):
            sample = self.dataset[row]
        # In subsets and joined data sets a sample's own number may not be its row.
        sample["data_samples"].set_metainfo(dict(sample_idx=row))
        return sample


def cached_features(
    model: BaseModel,
    dataloader: Mapping[str, Any],
    cache_dir: str | Path,
    key: Mapping[str, Any],
    fields: Sequence[str] = FEATURE_FIELDS,
    progress: bool = True,
    by_content: bool = False,
    dataset: Dataset | None = None,
) -> dict[str, Tensor]:
    """Extract features of a whole dataset, in its order, or read them from the cache.

    What is computed is written in parts of some hundred samples, so that a run that was killed
    goes on where it was. Each rank computes its share and gets the whole result; the folder must
    be one that all ranks see.

    The features are looked up by everything they depend on: the model's weights (their values, not
    where they came from), ``key``, the data set's config, the content of its list files and of
    other files that it names, the fields, and the versions of the package and of its front end.
    Those of a media file that has been replaced under its name are computed again: size and time of
    change tell it, or the content. They do not depend on batch size, workers, ranks or
    interruptions beyond rounding, and random draws of the pipeline are the same for a row at every
    call. Files behind addresses (``s3://...``) are taken to stay as they are.

    A part that is damaged is removed, which the log says, and its samples are computed again.

    Args:
        model (BaseModel): The model with its weights loaded, on its device;
            ``model.test_step(batch)`` returns data samples with the features. It is put into eval
            mode for the run and back afterwards.
        dataloader (Mapping[str, Any]): Config of a data loader, as ``cfg.test_dataloader`` is; its
            sampler is not used. Samples are ``dict(inputs, data_samples)``.
        cache_dir (str | Path): Folder of all caches; each key has a sub-folder in it, with
            ``key.json`` saying what it is for.
        key (Mapping[str, Any]): What else the features depend on, as JSON can hold it; the
            model's config: ``dict(model=cfg.model)``.
        fields (Sequence[str]): Fields of the data samples to keep, those of them that the model
            gives. Defaults to ``FEATURE_FIELDS``.
        progress (bool): Show a progress bar with the time left (on rank 0). Defaults to True.
        by_content (bool): Tell a replaced media file by its content; reads all files at every
            call. Defaults to False: by its size and time of change.
        dataset (Dataset, optional): ``dataloader['dataset']``, where it has been built already.
            Defaults to None: it is built.

    Returns:
        dict[str, Tensor]: CPU tensors in float32: the fields, (N, ...) each; ``sample_idx`` (N,),
        here 0 to N - 1; and ``label`` (N,) if the data set has labels.

    Raises:
        ValueError: If the model gives none of the fields or a field for some samples only, the
            data set is empty or does not tell its files, or ``key`` is not JSON-able.
    """
    key = dict(key, files="content" if by_content else "size and time")
    folder = _open_folder(model, dataloader, Path(cache_dir), key, fields)
    if dataset is None:
        dataset = DATASETS.build(deepcopy(dataloader["dataset"]))
    if len(dataset) == 0:
        raise ValueError(f"the data set {dataloader['dataset'].get('type')} is empty")
    stamps = _shared_stamps(dataset, by_content)
    missing = [_rows_to_compute(folder, stamps)] if is_main_process() else [None]
    wait_for_all_ranks()
    broadcast_object_list(missing)
    if missing[0]:
        share = missing[0][get_rank() :: get_world_size()]
        if share:
            _compute(model, dataloader, _Rows(dataset, share), folder, fields, progress, stamps)
        wait_for_all_ranks()
    return _read(folder, stamps)


def feature_key(
    model: BaseModel,
    dataloader: Mapping[str, Any],
    key: Mapping[str, Any],
    fields: Sequence[str] = FEATURE_FIELDS,
) -> dict[str, Any]:
    """Describe what features depend on, as JSON can hold it; see :func:`cached_features`.

    Args:
        model (BaseModel): The model with its weights.
        dataloader (Mapping[str, Any]): Config of the data loader.
        key (Mapping[str, Any]): What else they depend on.
        fields (Sequence[str]): Fields to keep. Defaults to ``FEATURE_FIELDS``.

    Returns:
        dict[str, Any]: ``weights``, ``lists`` and ``named_files`` (digests, in hexadecimal),
        ``dataset``, ``fields``, ``package`` and ``front_end`` (versions), and what ``key`` holds.
    """
    lists = {
        name: hashlib.sha256(get_file(name, backend_args=backend_args)).hexdigest()
        for name, backend_args in _list_files(dataloader["dataset"])
    }
    return dict(
        weights=weights_digest(model),
        lists=lists,
        named_files=named_files(dataloader["dataset"], lists),
        dataset=dataloader["dataset"],
        fields=list(fields),
        package=__version__,
        front_end=FRONT_END_VERSION,
        **key,
    )


def weights_digest(model: nn.Module) -> str:
    """Compute SHA-256 of the names and values of a model's weights and buffers.

    Args:
        model (nn.Module): The model.
    """
    weights = hashlib.sha256()
    for name, value in model.state_dict().items():
        value = value.detach().cpu().contiguous()
        weights.update(f"{name} {value.dtype} {tuple(value.shape)} ".encode())
        weights.update(value.flatten().view(torch.uint8).numpy())
    return weights.hexdigest()


def _list_files(dataset: object) -> Iterator[tuple[str, dict | None]]:
    """All list files in a data set's config, through wrappers."""
    if isinstance(dataset, Mapping):
        names = dataset.get("ann_file") or []
        for name in [names] if isinstance(names, str) else names:
            root = dataset.get("data_root")
            path = f"{root.rstrip('/')}/{name}" if root and not name.startswith("/") else name
            yield path, dataset.get("backend_args")
        dataset = list(dataset.values())
    if isinstance(dataset, (list, tuple)):
        for part in dataset:
            yield from _list_files(part)


def named_files(config: object, without: Collection[str] = ()) -> dict[str, str]:
    """Find files that a config names, such as statistics of spectrograms, with their digests.

    Args:
        config (object): Mappings, lists and plain values.
        without (Collection[str]): Files to leave out. Defaults to none.

    Returns:
        dict[str, str]: SHA-256 in hexadecimal, by name.
    """
    if isinstance(config, Mapping):
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        return {name: d for part in config for name, d in named_files(part, without).items()}
    # Path.is_file raises where a text is too long for a name.
    if isinstance(config, str) and config not in without and os.path.isfile(config):  # noqa: PTH113
        return {config: file_digest(config).hex()}
    return {}


def _shared_stamps(dataset: Dataset, by_content: bool) -> Tensor:
    """Stamps of all rows' files (N,); each rank looks at a share of them."""
    names = file_names(dataset)
    mine = media_stamps(names[get_rank() :: get_world_size()], by_content)
    wait_for_all_ranks()
    stamps = torch.zeros(len(names), dtype=torch.int64)
    for rank, share in enumerate(all_gather_object(mine)):
        stamps[rank :: get_world_size()] = torch.from_numpy(share)
    return stamps


def _open_folder(
    model: BaseModel,
    dataloader: Mapping[str, Any],
    cache_dir: Path,
    key: Mapping[str, Any],
    fields: Sequence[str],
) -> Path:
    """The sub-folder for these features; made if it is not there."""
    try:
        text = json.dumps(feature_key(model, dataloader, key, fields), sort_keys=True, indent=1)
    except TypeError as error:
        raise ValueError(
            f"key and data set config must hold what JSON can hold ({error})"
        ) from error
    folder = cache_dir / hashlib.sha256(text.encode()).hexdigest()[:20]
    if is_main_process():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "key.json", text + "\n")
    wait_for_all_ranks()
    return folder


def _compute(
    model: BaseModel,
    dataloader: Mapping[str, Any],
    dataset: _Rows,
    folder: Path,
    fields: Sequence[str],
    progress: bool,
    stamps: Tensor,
) -> None:
    """Run the model over some rows and write parts as they come."""
    cfg = {**dataloader, "dataset": dataset, "sampler": SequentialSampler(dataset)}
    cfg.update(persistent_workers=False, drop_last=False)
    loader = Runner.build_dataloader(cfg, seed=0)
    records: list[dict[str, Tensor | int]] = []
    written = time.monotonic()
    with eval_mode(model), torch.no_grad(), progress_bar(progress) as bar:
        task = bar.add_task("features", total=len(dataset))
        for batch in loader:
            samples = model.test_step(batch)
            records += feature_records(samples, fields)
            need_any_field(model, records[-1], fields)
            bar.update(task, advance=len(samples))
            now = time.monotonic()
            if len(records) >= _PART_SIZE or now - written > _PART_SECONDS:
                _write_part(folder, records, stamps)
                records, written = [], now
    if records:
        _write_part(folder, records, stamps)


def progress_bar(shown: bool) -> Progress:
    """Make a progress bar with the time left, on rank 0.

    Args:
        shown (bool): Whether to show it at all.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not (shown and is_main_process()),
    )


def _write_part(folder: Path, records: list[dict[str, Tensor | int]], stamps: Tensor) -> None:
    """Write some samples' records, with the stamps that their files had before they were read.

    No two writers share a name, so that none undoes another.
    """
    part = {
        name: value.float() if value.is_floating_point() else value
        for name, value in stack_records(records).items()
    }
    part["file_stamp"] = stamps[part["sample_idx"]]
    name = f"part_{int(part['sample_idx'][0]):08d}_{uuid.uuid4().hex[:8]}.pt"
    content = io.BytesIO()
    torch.save(part, content)
    write_bytes(folder / name, content.getbuffer())


def _load_part(path: Path) -> dict[str, Tensor]:
    """A part on disk.

    Raises:
        RuntimeError: If it is damaged.
    """
    part = load_checkpoint(path)
    rows = part.get("sample_idx") if isinstance(part, dict) else None
    whole = isinstance(rows, torch.Tensor) and all(
        torch.is_tensor(value) and len(value) == len(rows) for value in part.values()
    )
    if not whole or "file_stamp" not in part:
        raise RuntimeError(f"{path} is no part of a cache of features")
    return part


def _part_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("part_*.pt"))


def _rows_to_compute(folder: Path, stamps: Tensor) -> list[int]:
    """Rows that no part has as their files are now. Removes damaged parts."""
    known, seen = set(), set()
    for path in _part_files(folder):
        try:
            part = _load_part(path)
        except RuntimeError as error:
            print_log(
                f"Features that were kept in {path} are lost and computed again: {error}",
                logger="current",
                level=WARNING,
            )
            path.unlink()
            continue
        valid = part["file_stamp"] == stamps[part["sample_idx"]]
        known.update(part["sample_idx"][valid].tolist())
        seen.update(part["sample_idx"].tolist())
    if seen - known:
        print_log(
            f"{len(seen - known)} of {len(stamps)} media files have changed since their features "
            "were computed: theirs are computed again",
            logger="current",
            level=WARNING,
        )
    return sorted(set(range(len(stamps))) - known)


def _read(folder: Path, stamps: Tensor) -> dict[str, Tensor]:
    """Put the parts together, each row once, in order."""
    parts = [_load_part(path) for path in _part_files(folder)]
    names = {frozenset(part) for part in parts}
    if len(names) > 1:
        raise ValueError(
            f"{folder}: some samples have other fields than others, "
            f"{sorted(sorted(group) for group in names)}: expected all or none to have labels"
        )
    rows = torch.cat([part["sample_idx"] for part in parts])
    valid = torch.cat([part.pop("file_stamp") for part in parts]) == stamps[rows]
    # reversed: the first of several copies wins.
    copies = reversed(list(enumerate(zip(rows.tolist(), valid.tolist(), strict=True))))
    place = {row: index for index, (row, of_this_file) in copies if of_this_file}
    lacking = [row for row in range(len(stamps)) if row not in place]
    if lacking:
        raise RuntimeError(
            f"{folder}: rows {lacking[:5]} of the data set are not there: all ranks must see the "
            "same folder, and nobody may empty it meanwhile"
        )
    order = torch.tensor([place[row] for row in range(len(stamps))])
    result = {}
    for name in sorted(parts[0]):
        shapes = {tuple(part[name].shape[1:]) for part in parts}
        if len(shapes) > 1:
            raise ValueError(f"field '{name}' differs in shape between samples: {sorted(shapes)}")
        result[name] = torch.cat([part[name] for part in parts])[order]
    return result
