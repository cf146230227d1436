"""Losses that are infinite or not a number."""

from __future__ import annotations

from pathlib import Path

import torch
from mmaction.registry import HOOKS
from mmengine.dist import all_reduce, get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from ...utils.files import append_line


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop a run, or skip the step, when a part of the loss is infinite or not a number.

    ``'stop'`` looks every ``interval`` steps and before each checkpoint, so that the device is not
    waited for and no spoilt checkpoint is written. The error names the step, the parts of the loss
    and the files of the batch.

    ``'skip'`` looks at every step, before the weights are updated, which waits for the device. A
    step whose loss or gradient is not finite on any rank leaves no trace: weights, optimiser, key
    encoders, queues and batch norm statistics are as before. Such steps are counted, and listed
    with their files in ``skipped_steps/rank<N>.txt`` in the work directory.

    Args:
        action (str): ``'stop'`` or ``'skip'``. Defaults to ``'stop'``.
        interval (int): Steps between looks with ``'stop'``. Defaults to 20.
        max_skipped (int): Skipped steps in a row after which ``'skip'`` stops, too. Defaults to 50.

    Raises:
        ValueError: If ``action`` is unknown.
        RuntimeError: When a run is stopped.
    """

    priority = "VERY_HIGH"  # before anything is saved

    def __init__(self, action: str = "stop", interval: int = 20, max_skipped: int = 50) -> None:
        if action not in ("stop", "skip"):
            raise ValueError(f"action must be 'stop' or 'skip', got {action!r}")
        self.action = action
        self.interval = interval
        self.max_skipped = max_skipped
        self.num_skipped = 0
        self._in_a_row = 0
        self._steps: list[tuple[int, dict[str, Tensor], list[str]]] = []
        self._kept: list[Tensor] | None = None
        self._bad_loss = self._bad_gradient = False

    def before_train(self, runner: Runner) -> None:
        """Register the check before the optimiser's step."""
        if self.action == "skip":
            runner.optim_wrapper.optimizer.register_step_pre_hook(self._drop_bad_gradients)

    def before_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Save the state that a step changes beside the weights."""
        if self.action == "skip" and self._kept is None:
            self._kept = [x.detach().clone() for x in _side_effects(runner.model)]

    def _drop_bad_gradients(self, optimizer: torch.optim.Optimizer, *args: object) -> None:
        """Without gradients an optimiser leaves weights and momenta alone.

        Gradients are the mean over ranks already, so all ranks see the same.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        norms = torch.stack(torch._foreach_norm(gradients))
        self._bad_gradient = not bool(norms.isfinite().all())
        if self._bad_gradient:
            for parameter in parameters:
                parameter.grad = None

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Record the losses of the step, and check them if it is due."""
        parts = {name: value.detach() for name, value in (outputs or {}).items() if "loss" in name}
        samples = (data_batch or {}).get("data_samples") or []
        files = [str(sample.get("filename", "?")) for sample in samples]
        self._steps.append((runner.iter + 1, parts, files))
        if self.action == "skip":
            self._undo_if_bad(runner)
        elif self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            self.before_checkpoint(runner)

    def before_checkpoint(self, runner: Runner) -> None:
        """Check all steps since the last check."""
        if self.action == "stop" and self._steps:
            bad = self._bad_steps()
            self._steps = []
            if bad:
                raise RuntimeError(f"The loss is not finite at step {_describe(*bad[0])}")

    after_train_epoch = before_checkpoint

    def _bad_steps(self) -> list[tuple[int, dict[str, float], list[str]]]:
        values = torch.stack([value for _, parts, _ in self._steps for value in parts.values()])
        rest = iter(values.tolist())
        steps = [
            (step, dict(zip(parts, rest, strict=False)), files)
            for step, parts, files in self._steps
        ]
        return [step for step in steps if not all(abs(x) < float("inf") for x in step[1].values())]

    def _undo_if_bad(self, runner: Runner) -> None:
        """Once the weights were or were not updated, with all ranks alike."""
        if not runner.optim_wrapper.should_update():
            return
        bad = self._bad_steps()
        steps, self._steps = self._steps, []
        flag = torch.tensor(float(bool(bad) or self._bad_gradient), device=_device(runner))
        all_reduce(flag, "max")
        self._bad_gradient = False
        kept, self._kept = self._kept, None
        if not bool(flag):
            self._in_a_row = 0
            return
        assert kept is not None  # since the step began
        with torch.no_grad():
            for tensor, before in zip(_side_effects(runner.model), kept, strict=True):
                tensor.copy_(before)
        self.num_skipped += 1
        self._in_a_row += 1
        what = _describe(*(bad or _as_floats(steps))[0])
        append_line(Path(runner.work_dir) / f"skipped_steps/rank{get_rank()}.txt", what)
        runner.logger.warning(f"Skipped a step, {self.num_skipped} so far: {what}")
        if self._in_a_row > self.max_skipped:
            raise RuntimeError(
                f"{self._in_a_row} steps in a row had no finite loss or gradient; the last: {what}"
            )


def _side_effects(model: nn.Module) -> list[Tensor]:
    """What a step changes by itself; weights with gradient are the optimiser's."""
    return [*model.buffers(), *(p for p in model.parameters() if not p.requires_grad)]


def _as_floats(steps: list) -> list[tuple[int, dict[str, float], list[str]]]:
    return [(step, {k: float(v) for k, v in parts.items()}, files) for step, parts, files in steps]


def _describe(step: int, parts: dict[str, float], files: list[str]) -> str:
    losses = ", ".join(f"{name} {value:g}" for name, value in parts.items())
    return f"{step}: {losses}; files of rank {get_rank()}: {', '.join(files) or 'unknown'}"


def _device(runner: Runner) -> torch.device:
    return next(runner.model.parameters()).device
