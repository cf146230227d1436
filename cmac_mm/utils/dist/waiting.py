"""Waiting for other ranks longer than a collective may take."""

from datetime import timedelta
from weakref import WeakKeyDictionary

import torch.distributed as torch_dist
from mmengine import dist
from torch.distributed import ProcessGroup

_LIMIT = timedelta(days=30)
# For each default group one of its own; it goes with it.
_groups: WeakKeyDictionary[ProcessGroup, ProcessGroup] = WeakKeyDictionary()


def wait_for_all_ranks() -> None:
    """Wait until all ranks are here, however long one of them takes.

    To be called before a collective that ranks may come to at very different times: NCCL ends a
    run when one is not there after 10 minutes, and a longer limit for all would let a training
    step that hangs wait as long. This one waits on the CPU, through gloo, up to 30 days. Where a
    rank dies its connection breaks, and the others do not wait.

    Raises:
        RuntimeError: If another rank has died.
    """
    if dist.get_world_size() == 1:
        return
    default = torch_dist.group.WORLD
    if default not in _groups:
        _groups[default] = torch_dist.new_group(backend="gloo", timeout=_LIMIT)
    torch_dist.barrier(group=_groups[default])
