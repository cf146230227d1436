"""Finding the checkpoint to go on from."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log

from .checkpoint import weights_only


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """The newest complete checkpoint in a work directory, by the steps it has behind it.

    Looks at ``epoch_*.pth`` and ``iter_*.pth`` themselves, not at the note ``last_checkpoint``,
    which a kill can leave empty or ahead of the file. A damaged file is passed over with a
    warning. On several ranks rank 0 looks for all.

    Args:
        work_dir (str | Path): The folder.

    Returns:
        str | None: Path of the checkpoint; None if there is none.

    Raises:
        RuntimeError: If there are checkpoints, and all of them are damaged.
    """
    found: list[str | None] = [None]
    if is_main_process():
        found = [_latest(Path(work_dir))]
    broadcast_object_list(found)
    return found[0]


def _latest(folder: Path) -> str | None:
    candidates = [*folder.glob("epoch_*.pth"), *folder.glob("iter_*.pth")]
    steps = {path: count for path in candidates if (count := _steps(path)) is not None}
    for path in sorted(steps, key=lambda path: (steps[path], path.name), reverse=True):
        if _is_whole(path):
            return str(path)
    if candidates:
        raise RuntimeError(
            f"all {len(candidates)} checkpoints in {folder} are damaged: nothing to resume from"
        )
    return None


def _steps(path: Path) -> int | None:
    """Steps behind a checkpoint; None if its head cannot be read."""
    try:
        with weights_only(path):
            return int(torch.load(path, map_location="cpu", mmap=True)["meta"]["iter"])
    except (RuntimeError, KeyError, EOFError, OSError, ValueError) as error:
        _warn(path, error)
        return None


def _is_whole(path: Path) -> bool:
    """Whether the check sums of all tensors are right."""
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except (zipfile.BadZipFile, OSError) as error:
        _warn(path, error)
        return False
    if damaged is not None:
        _warn(path, f"check sum of {damaged} is wrong")
    return damaged is None


def _warn(path: Path, reason: object) -> None:
    print_log(f"{path} is damaged, passed over: {reason}", "current", logging.WARNING)
