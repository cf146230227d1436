"""Checkpoints from which a run can resume at any time."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from mmaction.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import BaseLoop, FlexibleRunner, Runner

from ...utils import refuse_other_list
from ...utils.dist import wait_for_all_ranks
from ...utils.files import part_of, remove_stale, write_text
from ..loops import ResumableTrainLoop
from ..run_owner import RunOwner
from .common import find_list


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """MMEngine's hook with complete files only: a killed run always leaves a good checkpoint.

    A file is written under a temporary name and renamed; older ones are removed only after that;
    a disk that is full is an error that says so and leaves the last good file. Beside
    ``epoch_N.pth``, which count for ``max_keep_ckpts``, the two newest ``iter_N.pth`` are kept.
    With :class:`ResumableTrainLoop` the position inside the epoch is stored, and which list of
    videos it belongs to: a run is not resumed on another one, or in another order. With gradient
    accumulation an ``iter_N.pth`` waits for the next update of the weights.

    Each run has an id: in its checkpoints (``meta.run``), in ``run.json`` and, as ``run_id``, in
    the message hub. Only its own checkpoints are removed. Runs are not mixed: refused are one that
    begins where another one's files are, one that resumes where checkpoints of others, or later
    ones than the one to go on from, are, and a second process (see :func:`lock_work_dir`). A run
    that is finished is not resumed, unless the config has more epochs than before. Values of the
    config that differ from the checkpoint's are listed, with which of the two holds.

    Args:
        interval (int): Epochs between checkpoints. Defaults to 1.
        interval_iters (int): Steps between further checkpoints inside an epoch; 0 for none.
            Defaults to 0.
        max_keep_ckpts (int): Checkpoints of epochs to keep, -1 for all. Defaults to 5.
        **kwargs: Of MMEngine's ``CheckpointHook``, except ``by_epoch``.

    Raises:
        ValueError: If ``by_epoch=False`` is asked for: use ``interval_iters``; before training, if
            runs would mix.
        TypeError: If there is no such option.
    """

    def __init__(
        self, interval: int = 1, interval_iters: int = 0, max_keep_ckpts: int = 5, **kwargs: object
    ) -> None:
        if not kwargs.pop("by_epoch", True):
            raise ValueError("SafeCheckpointHook counts epochs; for steps set interval_iters")
        for name in kwargs.keys() - inspect.signature(CheckpointHook.__init__).parameters.keys():
            # MMEngine's would find out when the first checkpoint is due.
            raise TypeError(
                f"SafeCheckpointHook.__init__() got an unexpected keyword argument {name!r}"
            )
        kwargs.setdefault("backend_args", dict(backend="atomic"))
        super().__init__(interval, max_keep_ckpts=max_keep_ckpts, **kwargs)
        self.interval_iters = interval_iters
        self._due = False
        self._owner: RunOwner | None = None
        self._list: dict[str, int | str] | None = None

    def before_run(self, runner: Runner) -> None:
        """Lock the work directory for this run; does nothing in a test."""
        if isinstance(runner._train_loop, BaseLoop):
            self._enter(runner)

    def _enter(self, runner: Runner) -> RunOwner:
        if self._owner is None:
            _refuse_folders(runner)
            work_dir = Path(runner.work_dir)
            # As in MMEngine's before_train.
            folder = Path(self.out_dir, work_dir.name) if self.out_dir else work_dir
            self._owner = RunOwner(work_dir, folder)
            self._owner.enter(bool(runner._resume))
        return self._owner

    def before_train(self, runner: Runner) -> None:
        """Remove unfinished files of a killed run."""
        super().before_train(runner)
        owner = self._enter(runner)
        owner.settle()
        runner.message_hub.update_info("run_id", owner.run.id)
        if is_main_process() and self.backend_args == dict(backend="atomic"):
            remove_stale(self.out_dir, "*.pth")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the run's id and the position inside the epoch."""
        meta, loop = checkpoint["meta"], runner.train_loop
        meta["run"] = self._enter(runner).run.as_dict()
        if isinstance(loop, ResumableTrainLoop):
            meta["position"] = dict(epoch=meta["epoch"], samples_done=loop.samples_done)
            meta["training_list"] = self._list_of(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the run's id and the position inside the epoch from the checkpoint."""
        if not runner._resume or not isinstance(runner._train_loop, BaseLoop):
            return
        self._enter(runner).resume(checkpoint, runner)
        meta = checkpoint["meta"]
        position, stored = meta.get("position"), meta.get("training_list")
        if position and isinstance(runner.train_loop, ResumableTrainLoop):
            own = self._list_of(runner)
            if stored is not None and own is not None:
                refuse_other_list(
                    "sample numbers (of the position in the epoch, of queues and banks)",
                    (stored["size"], bytes.fromhex(stored["digest"])),
                    (int(own["size"]), bytes.fromhex(str(own["digest"]))),
                    "begin a new run in another work directory with load_from=CHECKPOINT",
                )
            runner.train_loop.resume_from = position

    def _list_of(self, runner: Runner) -> dict[str, int | str] | None:
        """Size and digest of the training list; None for data of another kind."""
        if self._list is None:
            found = find_list(runner.train_dataloader.dataset)
            if found is not None:
                size, digest = found.list_size_and_digest()
                self._list = dict(size=size, digest=digest.hex())
        return self._list

    def after_run(self, runner: Runner) -> None:
        """Unlock the work directory."""
        if self._owner is not None:
            self._owner.leave()

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Save if it is due, between two updates of the weights."""
        if self.interval_iters > 0 and self.every_n_train_iters(runner, self.interval_iters):
            self._due = True
        if self._due and runner.optim_wrapper.should_update():
            self._due = False
            self.save_step(runner)

    def save_step(self, runner: Runner) -> None:
        """Write ``iter_N.pth`` of the step that was just made."""
        step = runner.iter + 1
        runner.logger.info(f"Saving checkpoint at {step} iterations")
        self._save(runner, f"iter_{step}.pth", dict(epoch=runner.epoch, iter=step), by_epoch=False)
        if is_main_process():
            self._remove_old("iter_*.pth", keep=2)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        self._save(runner, self.filename_tmpl.format(step), meta, by_epoch=True)
        if is_main_process() and self.max_keep_ckpts > 0:
            self._remove_old(self.filename_tmpl.format("*"), keep=self.max_keep_ckpts)

    def _save(self, runner: Runner, name: str, meta: dict, by_epoch: bool) -> None:
        runner.call_hook("before_checkpoint")
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        # MMEngine's strategies write by themselves, without the backend that renames.
        written = name if isinstance(runner, Runner) else part_of(Path(name)).name
        runner.save_checkpoint(
            self.out_dir,
            written,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=by_epoch,
            backend_args=self.backend_args,
        )
        self._enter(runner).add(name)
        if is_main_process():
            Path(self.out_dir, written).replace(Path(self.out_dir, name))
            write_text(Path(runner.work_dir) / "last_checkpoint", self.last_ckpt)
        wait_for_all_ranks()  # banks of millions of videos take minutes to write

    def _remove_old(self, pattern: str, keep: int) -> None:
        """Remove all but the newest of the run's files whose name differs in a number."""
        prefix, suffix = pattern.split("*")
        numbered = {}
        for name in self.file_backend.list_dir_or_file(self.out_dir, list_dir=False):
            match = re.fullmatch(rf"{re.escape(prefix)}(\d+){re.escape(suffix)}", name)
            if match and self._owner is not None and self._owner.owns(name):
                numbered[int(match[1])] = name
        for number in sorted(numbered)[:-keep]:
            self.file_backend.remove(self.file_backend.join_path(self.out_dir, numbered[number]))


def _refuse_folders(runner: Runner | FlexibleRunner) -> None:
    """Refuse strategies that write a folder for a checkpoint, of which nothing here knows."""
    if isinstance(runner, Runner):
        return
    kind = type(runner.strategy).__name__
    if kind == "FSDPStrategy" and not runner.strategy._is_full_state_dict():
        raise ValueError(
            "FSDPStrategy writes a folder of each checkpoint, a file for each rank, which "
            'SafeCheckpointHook cannot resume from: set strategy.state_dict_cfg="full"'
        )
    if kind not in ("FSDPStrategy", "DDPStrategy", "SingleDeviceStrategy"):
        raise ValueError(
            f"{kind} writes a folder of each checkpoint, which SafeCheckpointHook cannot resume "
            "from: set default_hooks.checkpoint.type='CheckpointHook', and resume with "
            "--resume CHECKPOINT"
        )
