"""Two real gloo processes: for a function, or for a training run."""

import atexit
import gc
import multiprocessing
import os
import pickle
import socket
import sys
import traceback
from functools import cache, partial

import torch

from helpers.paths import ROOT
from helpers.training import run_options


def on_two_ranks(function, tmp_path):
    """What `function(rank)` returns on each of two ranks."""
    return _fork_two(partial(_in_group, tmp_path / "init", function), tmp_path)


def train_on_two_ranks(options, folder):
    """Steps and final state of each of two ranks, which find each other as torchrun's do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return _fork_two(partial(_train, options, port), folder)


def _fork_two(function, folder):
    server = _server()
    # The path, too: test files are found on it, those added since the start included.
    server.send((sys.path, pickle.dumps(function), folder))
    error = server.recv()
    assert not error, error
    return [torch.load(folder / f"rank{rank}", weights_only=True) for rank in (0, 1)]


def _train(options, port, rank):
    group = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_ADDR="127.0.0.1")
    os.environ.update({key: str(value) for key, value in (group | dict(MASTER_PORT=port)).items()})
    os.chdir(ROOT)
    return run_options(options)


def _in_group(init_file, function, rank):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{init_file}", rank=rank, world_size=2
    )
    result = function(rank)
    gc.collect()  # a model's wrapper holds the group, and sits in reference cycles
    torch.distributed.barrier()  # nobody leaves while the other still needs it
    torch.distributed.destroy_process_group()
    return result


@cache
def _server():
    """The line to a process that has imported what ranks need, and forks two at each call.

    Importing takes longer than most of what they do; and each pair starts from the same state.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    process.start()
    theirs.close()
    atexit.register(ours.close)  # which ends it
    return ours


def _serve(line):
    import cmac_mm.models  # noqa: F401

    os.setpgid(0, 0)  # nothing that a test has left behind
    torch.set_num_threads(1)
    while True:
        try:
            sys.path[:], *args = line.recv()
        except EOFError:
            return
        try:
            torch.multiprocessing.start_processes(_rank, args, nprocs=2, start_method="fork")
        except Exception:
            line.send(traceback.format_exc())
        else:
            line.send("")


def _rank(rank, function, folder):
    torch.save(pickle.loads(function)(rank), folder / f"rank{rank}")
    # A forked process leaves this out, and then waits for loading workers that nobody ends.
    atexit._run_exitfuncs()
