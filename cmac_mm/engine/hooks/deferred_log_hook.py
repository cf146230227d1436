"""Logging without waiting for the device at each step."""

from __future__ import annotations

import torch
from mmaction.registry import HOOKS
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor


@HOOKS.register_module()
class DeferredLogHook(RuntimeInfoHook):
    """MMEngine's hook, reading the values of the steps from the device once an interval.

    MMEngine reads every logged value at every step, and so waits for the step to finish. Here they
    stay on the device until the logger wants them, and come in one transfer. The log is the same.
    """

    def before_train(self, runner: Runner) -> None:
        """Read the interval of the logger."""
        super().before_train(runner)
        intervals = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self._interval = min(intervals, default=1)
        self._names: list[str] = []
        self._values: list[Tensor] = []

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Keep the step's values."""
        for name, value in (outputs or {}).items():
            self._names.append(f"train/{name}")
            self._values.append(torch.as_tensor(value).detach().float().mean())
        if (
            self.every_n_inner_iters(batch_idx, self._interval)
            or self.every_n_train_iters(runner, self._interval)
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
        ):
            self.before_checkpoint(runner)

    def before_checkpoint(self, runner: Runner) -> None:
        """Write all values into the log, since a checkpoint holds it."""
        if not self._values:
            return
        device = next(runner.model.parameters()).device
        values = torch.stack([value.to(device, non_blocking=True) for value in self._values])
        for name, value in zip(self._names, values.tolist(), strict=True):
            runner.message_hub.update_scalar(name, value)
        self._names, self._values = [], []
