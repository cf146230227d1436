"""Two real gloo processes: for a function, a training run or a tool."""

import gc
import os
import socket
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch

from helpers.fork_server import run_script
from helpers.forks import Forked
from helpers.paths import ROOT, TOOLS
from helpers.processes import PATHS, environment
from helpers.training import run_options


def on_two_ranks(function, tmp_path, limit=None):
    """What `function(rank)` returns on each of two ranks; a limit of collectives in seconds."""
    return _fork_two(partial(_in_group, tmp_path / "init", function, limit), tmp_path)


def train_on_two_ranks(options, folder):
    """Steps and final state of each of two ranks, which find each other as torchrun's do."""
    return _fork_two(partial(_train, options, _free_port()), folder)


def run_on_two_ranks(name, *args, cwd, timeout=300, **env):
    """A tool on two ranks, as torchrun starts it; returns exit status and output."""
    process = start_on_two_ranks(name, *args, cwd=cwd, **env)
    output, _ = process.communicate(timeout)
    return process.returncode, output


def start_on_two_ranks(name, *args, cwd, **env):
    """Like `run_on_two_ranks`, under way."""
    words = [str(word) for word in (TOOLS / name, *args, "--launcher", "pytorch")]
    port = _free_port()
    ranks = [partial(_run, words, port, rank) for rank in (0, 1)]
    return Forked(ranks, PATHS, cwd, environment(**env))


def _fork_two(function, folder):
    ranks = [partial(_save, function, folder, rank) for rank in (0, 1)]
    # The path, too: test files are found on it.
    process = Forked(ranks, sys.path, Path.cwd(), dict(os.environ))
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return [torch.load(folder / f"rank{rank}", weights_only=True) for rank in (0, 1)]


def _save(function, folder, rank):
    torch.save(function(rank), folder / f"rank{rank}")


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _be_rank(port, rank):
    group = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_ADDR="127.0.0.1")
    os.environ.update({key: str(value) for key, value in (group | dict(MASTER_PORT=port)).items()})


def _run(words, port, rank):
    _be_rank(port, rank)
    run_script(words)


def _train(options, port, rank):
    _be_rank(port, rank)
    os.chdir(ROOT)
    return run_options(options)


def _in_group(init_file, function, limit, rank):
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{init_file}",
        rank=rank,
        world_size=2,
        timeout=None if limit is None else timedelta(seconds=limit),
    )
    result = function(rank)
    gc.collect()  # a model's wrapper holds the group, and sits in reference cycles
    torch.distributed.barrier()  # nobody leaves while the other still needs it
    torch.distributed.destroy_process_group()
    return result
