"""Two real gloo processes: for a function, or for a training run."""

import atexit
import gc
import json
import multiprocessing
import os
import pickle
import socket
import sys
import traceback
from functools import cache, partial

import torch


def on_two_ranks(function, tmp_path):
    """What `function(rank)` returns on each of two ranks."""
    return _on_two(partial(_in_group, tmp_path / "init", function), tmp_path)


def train_on_two_ranks(options, folder):
    """Steps and final state of each of two ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # As a config, the options hold what JSON can.
    return _on_two(partial(_train, port, json.loads(json.dumps(options))), folder)


def _in_group(init_file, function, rank):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{init_file}", rank=rank, world_size=2
    )
    result = function(rank)
    gc.collect()  # a model's wrapper holds the group, and sits in reference cycles
    torch.distributed.barrier()  # nobody leaves while the other still needs it
    torch.distributed.destroy_process_group()
    return result


def _train(port, options, rank):
    from cmac_mm.utils import setup_launcher, shut_down
    from helpers.training import make_config, train

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    cfg = make_config(options.pop("shapes"), options.pop("work_dir"), options)
    setup_launcher(cfg, "pytorch")
    steps, state = train(cfg, dtype=torch.float64)
    shut_down()
    return dict(steps=steps, state=state)


def _on_two(function, folder):
    server = _server()
    # The path, too: test files are found on it, those added since the start included.
    server.send((sys.path, pickle.dumps(function), folder))
    error = server.recv()
    assert not error, error
    return [torch.load(folder / f"rank{rank}", weights_only=True) for rank in (0, 1)]


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
    import helpers.training  # noqa: F401

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
