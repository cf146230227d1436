"""Owner of a work directory: its lock, and the identity of its run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner

from ..utils.config_changes import config_changes
from ..utils.dist import on_main_rank
from ..utils.lock import lock_work_dir, unlock_work_dir
from ..utils.resume import Run, is_whole, read_meta

_CHECKPOINTS = ("epoch_*.pth", "iter_*.pth", "best_*.pth")
# Hours of work without a checkpoint.
_OTHERS = ("clustering/round_*.npz",)


class RunOwner:
    """Owner of a work directory: one run, and one process at a time.

    A run that begins where files of another one are is refused, so that nothing of either can be
    taken for the other's, overwritten or removed.

    Args:
        work_dir (Path): The work directory.
        folder (Path): Where the checkpoints are, in most cases the same.
    """

    def __init__(self, work_dir: Path, folder: Path) -> None:
        self.work_dir = work_dir
        self.folder = folder
        self.run: Run
        self._own: set[str] = set()
        self._nothing_resumed = False

    def enter(self, resume: bool) -> None:
        """Lock the folder, before anything is loaded or written.

        Raises:
            ValueError: If another process writes there, or files are there that a run which does
                not resume would mix with its own.
        """
        self._nothing_resumed = resume
        self.run = on_main_rank(self._enter, resume)

    def _enter(self, resume: bool) -> Run:
        lock_work_dir(self.work_dir)
        if not resume:
            self._refuse_files()
            return Run.new()
        return Run.read(self.work_dir) or Run.new()

    def resume(self, checkpoint: Mapping[str, Any], runner: Runner) -> None:
        """Take over the run of a checkpoint.

        Raises:
            ValueError: If that run is finished, or the folder holds checkpoints of another one, or
                later ones of its own.
        """
        meta = checkpoint["meta"]
        found = Run.of(meta)
        self.run = found or self.run
        self._nothing_resumed = False
        done = f"epoch {meta['epoch']}, iteration {meta['iter']}"
        name = found or f"a run without an id (of an older version), from now on {self.run}"
        print_log(f"Resuming {name}, at {done}", "current")
        _refuse_finished(self.run, meta, runner, self.folder)
        self._own = on_main_rank(self._sort_files, meta["iter"])
        _report_changes(meta.get("cfg"), runner)

    def settle(self) -> None:
        """Write the run's identity, before training.

        Raises:
            ValueError: If there was nothing to resume from, but checkpoints are in the folder.
        """
        if self._nothing_resumed:
            print_log(f"No checkpoint to resume from in {self.work_dir}: {self.run}", "current")
            self._own = on_main_rank(self._sort_files, 0)
        on_main_rank(self.run.write, self.work_dir)

    def add(self, name: str) -> None:
        """Record a checkpoint that the run has written."""
        self._own.add(name)

    def owns(self, name: str) -> bool:
        """Whether a checkpoint is the run's own."""
        return name in self._own

    def leave(self) -> None:
        """Unlock the folder."""
        unlock_work_dir(self.work_dir)

    def _refuse_files(self) -> None:
        names = [
            *(path.name for path in self._checkpoints()),
            *(f"clustering/{path.name}" for path in self.work_dir.glob(_OTHERS[0])),
        ]
        if not names:
            return
        run = Run.read(self.work_dir)
        whose = "another run" if run is None else run
        raise ValueError(
            f"{self.folder} holds {_some(names)} of {whose}; a new run would mix with it. To go on "
            "with that run give --resume; for a new one choose another --work-dir, or move what is "
            "in the folder away"
        )

    def _checkpoints(self) -> list[Path]:
        return sorted(path for pattern in _CHECKPOINTS for path in self.folder.glob(pattern))

    def _sort_files(self, steps: int) -> set[str]:
        """Names of the run's own checkpoints."""
        own, others, later = set(), [], []
        for path in self._checkpoints():
            meta = read_meta(path)
            run = Run.of(meta) if meta else None
            if not meta or run is None:
                continue  # damaged, or of a version without ids: nobody's
            if run.id != self.run.id:
                others.append(f"{path.name} ({run})")
                continue
            own.add(path.name)
            # Damaged ones were passed over; the best one may be later than the last.
            if meta["iter"] > steps and not path.name.startswith("best_") and is_whole(path):
                later.append(path.name)
        advice = "; move them away, or choose another --work-dir"
        if others:
            raise ValueError(
                f"{self.folder} holds checkpoints of other runs than the one to be resumed, "
                f"{self.run}: {_some(others)}{advice}"
            )
        if later:
            raise ValueError(
                f"{self.folder} holds later checkpoints of the run than the one it is to be "
                f"resumed from, which has {steps} iterations: {_some(later)}{advice}"
            )
        return own


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _refuse_finished(run: Run, meta: Mapping[str, Any], runner: Runner, folder: Path) -> None:
    loop = runner.train_loop
    unit, total = "epoch", runner.max_epochs
    if not isinstance(loop, EpochBasedTrainLoop):
        unit, total = "iter", runner.max_iters
    if meta[unit] >= total:
        raise ValueError(
            f"{run}, is finished: {meta[unit]} of {total} {unit}s are done. To train longer raise "
            f"train_cfg.max_{unit}s; for a new run choose another --work-dir than {folder}"
        )


def _report_changes(old: str | None, runner: Runner) -> None:
    """Say what the config says otherwise than the checkpoint's, and whose value holds."""
    if old is None:
        return
    try:
        changes = config_changes(old, runner.cfg.pretty_text)
    except ValueError as error:
        changes = [str(error)]
    if changes:
        print_log(
            "The config differs from the checkpoint's (checkpoint -> config). Where that of the "
            "checkpoint holds, the config's has no effect; for that start a new run from the "
            "weights, with load_from and another --work-dir\n  " + "\n  ".join(changes),
            "current",
            logging.WARNING,
        )
