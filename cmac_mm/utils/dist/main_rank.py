"""Calls on one rank for all."""

from collections.abc import Callable
from typing import TypeVar

from mmengine.dist import broadcast_object_list, is_main_process

from .waiting import wait_for_all_ranks

Result = TypeVar("Result")


def on_main_rank(function: Callable[..., Result], *args: object) -> Result:
    """Call a function on rank 0 alone, which may take long; the others wait for it.

    Args:
        function (Callable): The function.
        *args: Its arguments.

    Returns:
        Result: What it returns, on all ranks.

    Raises:
        ValueError | RuntimeError | OSError: What it raises, on all ranks: those that went on alone
            would wait for ever.
    """
    shared: list = [None, None]
    if is_main_process():
        try:
            shared[0] = function(*args)
        except (ValueError, RuntimeError, OSError) as error:
            shared[1] = error
    wait_for_all_ranks()
    broadcast_object_list(shared)
    if shared[1] is not None:
        raise shared[1]
    return shared[0]
