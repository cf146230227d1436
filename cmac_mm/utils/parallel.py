"""Parallel calls in processes that may hang or die."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as TooLate
from dataclasses import dataclass
from itertools import islice
from signal import Signals
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .pipe_lock import PipeLockContext

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """Reason why an item has no result.

    Args:
        kind (str): ``'failed'``: the function raised an exception; ``'crashed'``: its process
            died; ``'timed out'``: it was stopped at the time limit.
        reason (str): The exception, the signal or the limit.
    """

    kind: str
    reason: str


def default_workers() -> int:
    """Number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_parallel(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int | None = None,
    timeout: float = 60.0,
    description: str = "",
    scheduler: str | None = None,
) -> Iterator[tuple[Item, Result | Failure]]:
    """Call a function on every item, each in one of several processes, with a progress bar.

    A process that dies or exceeds the time limit costs its own item only; another takes its place.
    Ctrl-C, or closing the iterator, stops all processes; so does the death of this one.

    Args:
        function (Callable): Called with one item. Like its results, it must be picklable.
        items (Sequence): The items.
        workers (int, optional): Processes. Defaults to None: one per CPU core.
        timeout (float): Time limit of one item in seconds. Defaults to 60.
        description (str): What the progress bar says. Defaults to ``''``.
        scheduler (str, optional): Address of a Dask scheduler, whose workers do it in place of
            processes here. Defaults to None.

    Yields:
        tuple: An item and its result, or a :class:`Failure`, in the order in which they end.

    Raises:
        ValueError: ``workers`` or ``timeout`` is not positive.
    """
    workers = default_workers() if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if timeout <= 0:
        raise ValueError(f"timeout must be positive, not {timeout}")
    if not items:
        return
    if scheduler is not None:
        from .cluster import run_on_cluster  # loads Dask

        yield from run_on_cluster(function, items, scheduler, timeout, description)
        return
    pool = new_pool(min(workers, len(items)))
    try:
        with progress_bar() as progress:
            bar = progress.add_task(description, total=len(items))
            waiting = iter(items)
            running: dict[Future, Item] = {}
            while True:
                # Few at a time: millions of futures would fill the memory.
                for item in islice(waiting, max(0, 4 * workers - len(running))):
                    future = pool.schedule(call, args=(function, item), timeout=timeout)
                    running[future] = item
                if not running:
                    break
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    progress.advance(bar)
                    yield running.pop(done), outcome(done, timeout)
    finally:
        pool.stop()
        pool.join()


def new_pool(workers: int) -> ProcessPool:
    """Processes that end with this one.

    Args:
        workers (int): How many at most.
    """
    # A fork server imports this package once, so that a process that died is replaced at once; and
    # nothing is forked off this process, whose threads (progress bar, pool) may hold locks.
    context = PipeLockContext()
    context.set_forkserver_preload(["cmac_mm"])
    return ProcessPool(
        workers,
        initializer=_follow_parent,
        context=context,  # type: ignore[arg-type]  # its RLock does what multiprocessing's does
    )


def progress_bar() -> Progress:
    """A bar with the number of items and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )


def outcome(future: Future, timeout: float) -> Result | Failure:
    """What a call came to, waited for.

    Args:
        future (Future): Of :func:`call`.
        timeout (float): The time limit that it has, for the message.
    """
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, TooLate):
        return Failure("timed out", f"not done after {timeout:g} s")
    if isinstance(error, ProcessExpired):
        code = error.exitcode
        ended = Signals(-code).name if code < 0 else f"exit status {code}"
        return Failure("crashed", f"its process died ({ended})")
    raise error


def call(function: Callable[[Item], Result], item: Item) -> Result | Failure:
    """The function's result, or what it raised."""
    # Here, since not every exception survives the way to another process.
    try:
        return function(item)
    except Exception as error:
        return Failure("failed", f"{type(error).__name__}: {error}")


def _follow_parent() -> None:
    """End with the parent, also while a decoder hangs."""

    def wait_and_exit() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None  # this is a worker
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True).start()
