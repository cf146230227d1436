"""Checkpoints to resume from, and the identity of their run."""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from .checkpoint import check_sums, checkpoint_meta
from .dist import on_main_rank
from .files import write_text
from .read import read_json

RUN_FILE = "run.json"


@dataclass(frozen=True)
class Run:
    """Identity of a run: in its checkpoints (``meta.run``) and in ``run.json``.

    Args:
        id (str): Twelve hexadecimal digits, drawn when it began.
        started (str): When it began, local time.
    """

    id: str
    started: str

    @classmethod
    def new(cls) -> Run:
        """Make the identity of a new run."""
        return cls(uuid.uuid4().hex[:12], time.strftime("%Y-%m-%d %H:%M:%S"))

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> Run | None:
        """Read the run from a checkpoint's ``meta``; None if it has none."""
        run = meta.get("run")
        return cls(str(run["id"]), str(run["started"])) if run else None

    @classmethod
    def read(cls, work_dir: Path) -> Run | None:
        """Read the run from ``run.json``; None if there is none."""
        path = work_dir / RUN_FILE
        return cls.of({"run": read_json(path)}) if path.is_file() else None

    def write(self, work_dir: Path) -> None:
        """Write ``run.json``."""
        write_text(work_dir / RUN_FILE, json.dumps(self.as_dict(), indent=2) + "\n")

    def as_dict(self) -> dict[str, str]:
        """Convert to a dictionary for ``meta.run``."""
        return asdict(self)

    def __str__(self) -> str:
        return f"run {self.id}, started {self.started}"


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Find the complete checkpoint with the most steps in a work directory.

    Looks at ``epoch_*.pth`` and ``iter_*.pth`` themselves, not at the note ``last_checkpoint``,
    which a kill can leave empty or ahead of the file. A file that is damaged, or refused as
    unsafe, is passed over with a warning. On several ranks rank 0 looks for all.

    Args:
        work_dir (str | Path): The folder.

    Returns:
        str | None: Path of the checkpoint; None if there is none.

    Raises:
        RuntimeError: If there are checkpoints, and none can be used.
    """
    return on_main_rank(_latest, Path(work_dir))


def _latest(folder: Path) -> str | None:
    candidates = [*folder.glob("epoch_*.pth"), *folder.glob("iter_*.pth")]
    metas = {path: meta for path in candidates if (meta := read_meta(path))}
    # After the last step of an epoch there are two: the epoch's has the end of the epoch behind it.
    place = {path: (int(meta["iter"]), meta.get("epoch", 0)) for path, meta in metas.items()}
    for path in sorted(place, key=place.__getitem__, reverse=True):
        if is_whole(path):
            return str(path)
    if candidates:
        raise RuntimeError(
            f"all {len(candidates)} checkpoints in {folder} are damaged or unsafe, see the log: "
            "nothing to resume from"
        )
    return None


def read_meta(path: Path) -> dict[str, Any] | None:
    """Read the ``meta`` of a checkpoint, without its tensors.

    Args:
        path (Path): The file.

    Returns:
        dict[str, Any] | None: Its ``meta``; None, with a warning, if its head cannot be used.
    """
    try:
        return checkpoint_meta(path)
    except (RuntimeError, OSError) as error:
        _warn(error)
        return None


def is_whole(path: Path) -> bool:
    """Whether the check sums of all tensors are right."""
    try:
        check_sums(path, path)
    except (RuntimeError, OSError) as error:
        _warn(error)
        return False
    return True


def _warn(error: Exception) -> None:
    print_log(f"Passed over for resuming: {error}", "current", logging.WARNING)
