"""Commands as a user runs them, and the ends of processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from helpers.paths import ROOT, TINY, TOOLS


def run(*command, cwd, timeout=300, **env):
    """Run a command on CPU with the tiny model importable; returns exit status and output."""
    paths = [str(ROOT), str(TINY)]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        **env,
    }
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    return result.returncode, result.stdout


def run_tool(name, *args, cwd, **env):
    return run(sys.executable, TOOLS / name, *args, cwd=cwd, **env)


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def end(process):
    output, _ = process.communicate()
    return process.returncode, output
