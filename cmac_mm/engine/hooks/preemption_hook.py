"""Checkpoint and exit when the scheduler asks for it."""

from __future__ import annotations

import signal
from collections.abc import Callable

import torch
from mmaction.registry import HOOKS
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .safe_checkpoint_hook import SafeCheckpointHook

# "Temporary failure, try again" of sysexits.h; tools/slurm_train.sh requeues a job that ends so.
EXIT_CODE = 75
_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


@HOOKS.register_module()
class PreemptionHook(Hook):
    """On SIGTERM, SIGUSR1 or SIGHUP finish the step, write a checkpoint and exit with code 75.

    SIGHUP comes when the terminal or SSH session ends; under ``nohup`` it is ignored, as is meant.

    Ranks may get the signal at different steps; they agree on one every ``interval`` steps, which
    waits for the device. One process alone looks at each step. ``--resume`` goes on from there.

    Args:
        interval (int): Steps between looks on several ranks. Defaults to 10.

    Raises:
        RuntimeError: At the start, if no :class:`SafeCheckpointHook` is there to save.
    """

    priority = "LOWEST"  # after everything else that belongs to the step

    def __init__(self, interval: int = 10) -> None:
        self.interval = interval
        self._asked = False
        self._leaving = False
        self._previous: dict[int, Callable | int | None] = {}

    def before_train(self, runner: Runner) -> None:
        """Install the signal handlers."""
        hooks = [hook for hook in runner.hooks if isinstance(hook, SafeCheckpointHook)]
        if not hooks:
            raise RuntimeError(
                "PreemptionHook needs default_hooks.checkpoint of type SafeCheckpointHook"
            )
        self._checkpoint = hooks[0]
        for number in _SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self._asked = True

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Save and exit if a signal came, between two updates of the weights."""
        alone = get_world_size() == 1
        if not self._leaving and (alone or self.every_n_train_iters(runner, self.interval)):
            self._leaving = self._asked if alone else self._any_asked()
        if self._leaving and runner.optim_wrapper.should_update():
            self._checkpoint.save_step(runner)
            runner.logger.warning(
                f"Asked to stop: saved {self._checkpoint.last_ckpt}, leaving with exit code "
                f"{EXIT_CODE}. --resume goes on from here."
            )
            self.after_train(runner)
            raise SystemExit(EXIT_CODE)

    def _any_asked(self) -> bool:
        asked = torch.tensor(float(self._asked), device=get_device())
        all_reduce(asked, "max")
        return bool(asked)

    def after_train(self, runner: Runner) -> None:
        """Restore the signal handlers."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
