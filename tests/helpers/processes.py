"""Commands as a user runs them, and the ends of processes."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from helpers.fork_server import call_code, run_script
from helpers.forks import MODULES, Forked
from helpers.paths import ROOT, TINY, TOOLS

PATHS = [str(ROOT), str(TINY)]


def run(*command, cwd, timeout=300, fresh=False, **env):
    """Run a command on CPU with the tiny model importable; returns exit status and output.

    Unless it is to start afresh, a Python script is forked from a process that has imported what
    tools need, see `forks`: variables and options that are read at a start do nothing there.
    """
    words = [str(part) for part in command]
    env = environment(**env)
    if words[0] == sys.executable and words[1].endswith(".py") and not fresh:
        process = Forked([partial(run_script, words[1:])], PATHS, cwd, env)
        output, _ = process.communicate(timeout)
        return process.returncode, output
    result = subprocess.run(
        words,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    return result.returncode, result.stdout


def run_code(code, *args, timeout=300, modules=MODULES, **env):
    """What ``python -c CODE`` does where these modules are imported; returns status and output."""
    call = partial(call_code, code, [str(arg) for arg in args])
    process = Forked([call], PATHS, ROOT, environment(**env), modules)
    output, _ = process.communicate(timeout)
    return process.returncode, output


def environment(**env):
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(PATHS),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        **env,
    }


def run_tool(name, *args, cwd, **env):
    return run(sys.executable, TOOLS / name, *args, cwd=cwd, **env)


def start_tool(name, *args, cwd, **env):
    """A tool under way, in a process group of its own; see `run`."""
    words = [str(word) for word in (TOOLS / name, *args)]
    return Forked([partial(run_script, words)], PATHS, cwd, environment(**env))


def kill(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def end(process):
    output, _ = process.communicate()
    return process.returncode, output
