"""List of bad files in the work directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmaction.registry import HOOKS
from mmengine.dist import get_rank, master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...utils import write_bytes
from .common import all_datasets

if TYPE_CHECKING:
    from ...datasets.bad_files import BadFileLog


@HOOKS.register_module()
class BadSampleHook(Hook):
    """Write a list of the training files that could not be used, and log their number.

    The loading processes of each rank note them in ``bad_files/rank<N>.txt`` in the work
    directory as they meet them; after each epoch and at the end the notes of all ranks are merged
    into ``bad_files.txt``, sorted, one line ``path<TAB>reason`` a file. The log tells of it when
    there are new ones, and at the end.
    """

    def before_train(self, runner: Runner) -> None:
        """Set the lists' paths in the datasets; a test has no list."""
        self._num_told = 0
        folder = Path(runner.work_dir) / "bad_files"
        for log in _logs(runner):
            log.path = folder / f"rank{get_rank()}.txt"

    def after_train_epoch(self, runner: Runner) -> None:
        """Merge the lists of all ranks, and log new files."""
        self._merge(runner, only_news=True)

    def after_train(self, runner: Runner) -> None:
        """Merge the lists of all ranks for the last time."""
        self._merge(runner)

    @master_only
    def _merge(self, runner: Runner, only_news: bool = False) -> None:
        folder = Path(runner.work_dir) / "bad_files"
        reasons: dict[str, str] = {}
        for part in sorted(folder.glob("rank*.txt")):
            for line in part.read_bytes().decode("utf-8", "surrogateescape").split("\n")[:-1]:
                name, _, reason = line.rpartition("\t")  # a reason has no tabs, a name may
                reasons.setdefault(name, reason)
        if len(reasons) == (self._num_told if only_news else 0):
            return
        self._num_told = len(reasons)
        target = Path(runner.work_dir) / "bad_files.txt"
        lines = [f"{name}\t{reason}\n" for name, reason in sorted(reasons.items())]
        write_bytes(target, "".join(lines).encode("utf-8", "surrogateescape"))
        replaced = sum(log.count for log in _logs(runner))
        runner.logger.warning(
            f"{len(reasons)} bad files so far, see {target}; {replaced} samples were replaced on "
            "this rank"
        )


def _logs(runner: Runner) -> list[BadFileLog]:
    """The logs of all data sets that training reads, through data set wrappers."""
    if runner.train_dataloader is None or isinstance(runner.train_dataloader, dict):
        return []
    datasets = all_datasets(runner.train_dataloader.dataset)
    logs = [dataset.bad_files for dataset in datasets if hasattr(dataset, "bad_files")]
    return list({id(log): log for log in logs}.values())
