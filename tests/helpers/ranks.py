"""Two real gloo processes: for a function, or for a training run."""

import atexit
import gc
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import traceback
from functools import cache, partial

import torch

from helpers.paths import ROOT


def on_two_ranks(function, tmp_path):
    """What `function(rank)` returns on each of two ranks."""
    server = _server()
    # The path, too: test files are found on it, those added since the start included.
    task = pickle.dumps(partial(_in_group, tmp_path / "init", function))
    server.send((sys.path, task, tmp_path))
    error = server.recv()
    assert not error, error
    return [torch.load(tmp_path / f"rank{rank}", weights_only=True) for rank in (0, 1)]


def train_on_two_ranks(options, folder):
    """Steps and final state of each of two ranks."""
    (folder / "options.json").write_text(json.dumps(options))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += [ROOT / "tests/helpers/training.py", folder / "options.json", folder / "rank"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [str(part) for part in command]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [torch.load(folder / f"rank{rank}", weights_only=True) for rank in (0, 1)]


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
