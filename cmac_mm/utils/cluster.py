"""One function over many items on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from itertools import islice
from typing import TypeVar

from pebble import ProcessPool

from .parallel import Failure, call, new_pool, outcome, progress_bar

Item = TypeVar("Item")
Result = TypeVar("Result")

UNDER_WAY = 1024
"""Items that the scheduler has at a time."""

# Each thread of a worker has a process of its own.
_local = threading.local()


def run_on_cluster(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    scheduler: str,
    timeout: float,
    description: str,
) -> Iterator[tuple[Item, Result | Failure]]:
    """:func:`run_parallel` on a Dask cluster: each item in a process beside a worker's thread.

    A worker that is lost costs nothing but time: others do its items. Workers need this package,
    the same paths, and the right to start processes (``distributed.worker.daemon: False``).

    Args:
        function (Callable): Called with one item.
        items (Sequence): The items.
        scheduler (str): Address, such as ``tcp://host:8786``.
        timeout (float): Time limit of one item in seconds, from when a worker begins it.
        description (str): What the progress bar says.

    Yields:
        tuple: An item and its result, or a :class:`Failure`, in the order in which they end.

    Raises:
        RuntimeError: If Dask is not installed, there is no scheduler, it is lost, or workers cannot
            start processes.
    """
    try:
        from distributed import Client, Future, KilledWorker, as_completed
    except ImportError as error:
        raise RuntimeError("--scheduler needs Dask: pip install 'cmac_mm[cluster]'") from error
    try:
        client = Client(scheduler)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"{scheduler}: no Dask scheduler answers there ({error})") from error
    with client, progress_bar() as progress:
        bar = progress.add_task(description, total=len(items))
        waiting, ended = iter(items), as_completed()
        running: dict[Future, Item] = {}

        def submit(count: int) -> None:
            for item in islice(waiting, count):
                future = client.submit(_guarded, function, item, timeout, pure=False)
                running[future] = item
                ended.add(future)

        submit(UNDER_WAY)
        while running:
            future = next(ended)
            item = running.pop(future)
            try:
                found: Result | Failure = future.result()
            except KilledWorker as error:
                found = Failure("crashed", f"workers died of it ({error})")
            except (OSError, CancelledError, asyncio.CancelledError) as error:
                raise RuntimeError(
                    f"{scheduler}: the scheduler is lost; the same command goes on from here"
                ) from error
            future.release()
            submit(1)
            progress.advance(bar)
            yield item, found


def _guarded(function: Callable[[Item], Result], item: Item, timeout: float) -> Result | Failure:
    """Do an item in a process of this thread of the worker, which may hang or crash."""
    if multiprocessing.current_process().daemon:
        raise RuntimeError(
            "this Dask worker may not start processes, which guard against decoders that hang or "
            "crash: start workers with DASK_DISTRIBUTED__WORKER__DAEMON=False"
        )
    pool: ProcessPool | None = getattr(_local, "pool", None)
    if pool is None or not pool.active:
        pool = _local.pool = new_pool(1)
    return outcome(pool.schedule(call, args=(function, item), timeout=timeout), timeout)
