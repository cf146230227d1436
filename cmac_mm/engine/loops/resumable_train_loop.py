"""Training loop by epochs that can stop and resume at any step."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from mmaction.registry import LOOPS
from mmengine.dist import get_rank
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from ...datasets.samplers.resumable_sampler import ResumableSampler
from ...utils import end_with_parent, seed_all
from .transfer import on_device


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """MMEngine's epoch loop with exact resuming: a resumed run repeats an uninterrupted one.

    The position inside the epoch is part of every checkpoint, and the sampler goes there without
    loading what is done. Nothing random has a state to be lost: all draws of a sample come from
    the seed of its index, all draws of a step on a rank from (seed, step, rank). Resuming on
    another number of ranks goes on with the sample where the old run stopped.

    With gradient accumulation the last step of an epoch updates the weights, also where the number
    of steps is no multiple of ``accumulative_counts``; checkpoints are written between updates.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): The training data, with a :class:`ResumableSampler`.
        max_epochs (int): Number of epochs.
        **kwargs: Of MMEngine's ``EpochBasedTrainLoop``.

    Raises:
        ValueError: If the sampler is another one.
    """

    def __init__(
        self, runner: Runner, dataloader: DataLoader | dict, max_epochs: int, **kwargs: object
    ) -> None:
        if isinstance(dataloader, dict):
            dataloader = runner.build_dataloader(dataloader, seed=runner.seed)
        sampler = dataloader.sampler
        if not isinstance(sampler, ResumableSampler):
            raise ValueError(
                "train_cfg type ResumableTrainLoop needs train_dataloader.sampler type "
                f"ResumableSampler, found {type(sampler).__name__}"
            )
        sampler.bind(dataloader.batch_size, dataloader.drop_last)
        dataloader.worker_init_fn = partial(_start_worker, dataloader.worker_init_fn)
        atexit.register(_end_workers)
        self.sampler = sampler
        # The epoch, and the value of `samples_done`, to go on from.
        self.resume_from: dict[str, int] | None = None
        self._start_batch = 0
        self._samples_done = 0
        super().__init__(runner, dataloader, max_epochs, **kwargs)

    @property
    def seed(self) -> int:
        """Seed of the run, the same on all ranks."""
        per_rank = self.runner._randomness_cfg.get("diff_rank_seed", False)
        return self.runner.seed - (get_rank() if per_rank else 0)

    @property
    def samples_done(self) -> int:
        """Number of samples of all ranks in this epoch, including the current step."""
        return self._samples_done

    def run(self) -> nn.Module:
        """Train, from the position of :attr:`resume_from` if it is set."""
        if self.resume_from is not None:
            batch = -(-self.resume_from["samples_done"] // self.sampler.global_batch_size)
            self._epoch = self.resume_from["epoch"]
            self._start_batch = min(batch, self.sampler.num_batches)
            self._iter = self._epoch * self.sampler.num_batches + self._start_batch
        return super().run()

    def run_epoch(self) -> None:
        """Run one epoch, from the position where it stopped."""
        self.runner.call_hook("before_train_epoch")
        self.runner.model.train()
        start, self._start_batch = self._start_batch, 0
        self.sampler.seed = self.seed
        self.sampler.set_position(self._epoch, start)
        num_batches, global_batch = self.sampler.num_batches, self.sampler.global_batch_size
        self.runner.optim_wrapper.initialize_count_status(self.runner.model, start, num_batches)
        if start < num_batches:
            for index, batch in enumerate(on_device(self.dataloader), start):
                seed_all(_mix(self.seed, self._iter, get_rank()))
                done = (index + 1) * global_batch
                self._samples_done = min(done, self.sampler.num_samples)
                self.run_iter(index, batch)
        self._samples_done = 0
        self.runner.call_hook("after_train_epoch")
        self._epoch += 1


def _mix(*numbers: int) -> int:
    """One seed out of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _start_worker(init: Callable[[int], None] | None, worker_id: int) -> None:
    """Set up a loading process: one thread, and deaf to what asks the run to stop.

    Schedulers send their signals to all processes, but the run needs its workers until it has
    finished the step. They end with their parent.
    """
    end_with_parent()
    if init is not None:
        init(worker_id)
    torch.set_num_threads(1)
    for name in ("SIGTERM", "SIGUSR1", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)


def _end_workers() -> None:
    """End what still loads when the run is over, by error or not; Python waits for it otherwise.

    It would send SIGTERM first, to which the workers are deaf.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch reports a worker that is killed
    for process in multiprocessing.active_children():
        process.kill()
