"""Short output on the screen for training and testing; the log file keeps every line.

MMEngine shows a line of some 600 characters every few steps, the whole config and the list of all
hooks. On the screen :func:`short_console` leaves the messages that need a reader, and a progress
bar, or a line every half a minute where the output is no terminal.
"""

from __future__ import annotations

import atexit
import logging
import time

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import get_worker_info

from .hooks.common import bare_model

# What goes to the log file only: MMEngine's own lines on what was set up, its line of a step
# (the progress bar has the same), and warnings that a user can do nothing about.
_FILE_ONLY = (
    "Epoch(",
    "Iter(",
    "Exp name:",
    "Config:",
    "Hooks will be executed",
    "Saving checkpoint at",
    "Checkpoints will be saved to",
    "Auto resumed from the latest checkpoint None",
    "Distributed training is not used",
    "Loads checkpoint by",
    "Name of parameter - Initialization information",
    "paramwise_options",
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias',
)
_SECONDS_BETWEEN_LINES = 30


def short_console(runner_class: type[Runner], verbose: bool = False) -> type[Runner]:
    """Make a runner whose screen output is short.

    Args:
        runner_class (type[Runner]): A class of runners.
        verbose (bool): Show everything, as MMEngine does. Defaults to False.

    Returns:
        type[Runner]: A subclass; ``runner_class`` itself if ``verbose``, or if it is no ``Runner``:
        MMEngine's ``FlexibleRunner`` builds its logger elsewhere.
    """
    if verbose or not issubclass(runner_class, Runner):
        return runner_class
    console = Console(soft_wrap=True, highlight=False)

    def build_logger(self: Runner, *args: object, **kwargs: object) -> MMLogger:
        logger = runner_class.build_logger(self, *args, **kwargs)
        for number, handler in enumerate(logger.handlers):
            if type(handler) is logging.StreamHandler:
                logger.handlers[number] = ScreenHandler(console, handler)
        return logger

    def register_hooks(self: Runner, *args: object, **kwargs: object) -> None:
        runner_class.register_hooks(self, *args, **kwargs)
        self.register_hook(ProgressHook(console), priority="LOWEST")

    members = {"build_logger": build_logger, "register_hooks": register_hooks}
    return type(runner_class.__name__, (runner_class,), members)


class ScreenHandler(logging.Handler):
    """Logging handler that leaves out what belongs into the log file only.

    Args:
        console (Console): Where the lines go; a progress bar on it stays below them.
        replaced (logging.Handler): The handler it takes the place of: level and filters are its.
    """

    def __init__(self, console: Console, replaced: logging.Handler) -> None:
        super().__init__(replaced.level)
        self.console = console
        self.filters = list(replaced.filters)
        self.addFilter(_needs_a_reader)

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message on one line, with the time of day."""
        try:
            level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
            clock = time.strftime("%H:%M:%S", time.localtime(record.created))
            self.console.print(f"{clock} {level}{record.getMessage()}", markup=False)
        except Exception:  # reported by logging, as its own handlers do: a message stops no run
            self.handleError(record)


def _needs_a_reader(record: logging.LogRecord) -> bool:
    message = record.getMessage().lstrip("\n-")
    if record.levelno < logging.ERROR and get_worker_info() is not None:
        return False  # of single files; BadSampleHook has their number and the list
    return not message.startswith(_FILE_ONLY) and not message.startswith("System environment")


class ProgressHook(Hook):
    """Progress of training and testing: a bar in a terminal, elsewhere a line now and then.

    Shows epoch, loss, the monitor's retrieval and the time left. The loss is the last one that the
    logger has read, so that no step waits for the device.

    Args:
        console (Console): Where to show it.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None

    def _begin(self, runner: Runner, title: str, total: int, done: int = 0) -> None:
        self.runner, self.total, self.first = runner, total, done
        self.started = self.shown = time.monotonic()
        if runner.rank == 0 and self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:.0f} %"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
            )
            self.bar = Progress(*columns, console=self.console)
            self.task = self.bar.add_task(title, total=total, completed=done, note="")
            self.bar.start()
            atexit.register(self._end)  # an error must not leave the terminal without cursor

    def _advance(self, done: int, title: str, note: str = "") -> None:
        if self.bar is not None:
            self.bar.update(self.task, completed=done, description=title, note=note)
            return
        now = time.monotonic()
        if self.runner.rank != 0 or (
            now - self.shown < _SECONDS_BETWEEN_LINES and done < self.total
        ):
            return
        self.shown = now
        left = (now - self.started) / (done - self.first) * (self.total - done)
        parts = [f"{title}, {100 * done / self.total:.0f} %", note, f"{_clock(left)} left"]
        clock = time.strftime("%H:%M:%S")
        self.console.print(f"{clock} {', '.join(filter(None, parts))}", markup=False)

    def _end(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def before_train(self, runner: Runner) -> None:
        """Say what is trained, and where the log is."""
        if runner.rank == 0:
            loader = runner.train_dataloader
            self.console.print(
                f"training {type(bare_model(runner)).__name__}: {len(loader.dataset):,} samples, "
                f"{runner.max_epochs} epochs of {len(loader)} steps; "
                f"all messages are in {runner.logger.log_file}",
                markup=False,
            )
        self._begin(runner, "training", runner.max_iters, runner.iter)

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        """Show the step."""
        note = []
        scalars = runner.message_hub.log_scalars
        if "train/loss" in scalars:
            note.append(f"loss {scalars['train/loss'].current():.3f}")
        for name in ("visual_R@1", "audio_R@1"):
            if f"monitor/{name}" in scalars:
                value = scalars[f"monitor/{name}"].current()
                note.append(f"{name.replace('_', ' ')} {100 * value:.1f} %")
        title = f"epoch {runner.epoch + 1}/{runner.max_epochs}"
        self._advance(runner.iter + 1, title, ", ".join(note))

    def after_train(self, runner: Runner) -> None:
        """Take the bar away."""
        self._end()

    def before_test(self, runner: Runner) -> None:
        """Begin a bar."""
        self._begin(runner, "testing", len(runner.test_dataloader))

    def after_test_iter(
        self, runner: Runner, batch_idx: int, *args: object, **kwargs: object
    ) -> None:
        """Show the batch."""
        self._advance(batch_idx + 1, "testing")

    def after_test(self, runner: Runner) -> None:
        """Take the bar away."""
        self._end()

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Show the metrics."""
        self._show(runner, "test", metrics)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Show the metrics."""
        self._show(runner, f"validation after epoch {runner.epoch}", metrics)

    def _show(self, runner: Runner, title: str, metrics: dict[str, float] | None) -> None:
        if runner.rank == 0:
            text = "  ".join(
                f"{name}: {value:.4f}" if isinstance(value, float) else f"{name}: {value}"
                for name, value in (metrics or {}).items()
            )
            self.console.print(f"{time.strftime('%H:%M:%S')} {title}: {text}", markup=False)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
