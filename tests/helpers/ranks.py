"""Two real gloo processes: for a function, or for a training run."""

import gc
import json
import os
import subprocess
import sys

import torch
import torch.multiprocessing as mp

from helpers.paths import ROOT


def _run(rank, world_size, init_file, function, out_file):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{init_file}", rank=rank, world_size=world_size
    )
    torch.save(function(rank), f"{out_file}{rank}")
    gc.collect()  # a model's wrapper holds the group, and sits in reference cycles
    torch.distributed.barrier()  # nobody leaves while the other still needs it
    torch.distributed.destroy_process_group()


def on_two_ranks(function, tmp_path):
    """What `function(rank)` returns on each of two ranks."""
    args = (2, tmp_path / "init", function, tmp_path / "out")
    mp.spawn(_run, args, nprocs=2)
    return [torch.load(f"{tmp_path / 'out'}{rank}", weights_only=True) for rank in (0, 1)]


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
