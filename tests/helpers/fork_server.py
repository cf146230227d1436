"""A process that has imported what others need, and forks them: importing takes seconds each time.

What is forked is a process as any other: in a group, folder and environment of its own, which
Python ends as any other (exit status, traceback, functions at exit).
"""

import gc
import os
import pickle
import sys
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from pathlib import Path
from types import CodeType, ModuleType


def serve(line: Connection, modules: list[str], root: Path) -> Callable[[], object]:
    """Fork processes as asked for; returns in each of them what it is to call."""
    base = sys.path[:]
    sys.path.insert(0, str(root))
    for name in modules:
        import_module(name)
    if "mmengine" in sys.modules:
        from helpers.quick import configs_once

        configs_once()
    gc.collect()
    gc.freeze()  # else each would look through all that was imported when it ends
    while True:
        try:
            functions, path, cwd, env = line.recv()
        except EOFError:
            sys.exit()
        output = recv_handle(line)
        pids = []
        for number in range(len(functions)):
            pid = os.fork()
            if pid == 0:
                os.setpgid(0, 0)
                line.close()
                sys.path[:] = path + base
                _settle(output, cwd, env)
                return pickle.loads(functions[number])
            os.setpgid(pid, pid)  # whoever of the two is first
            pids.append(pid)
        os.close(output)
        line.send(pids)
        for _ in pids:
            pid, status = os.wait()
            line.send((pid, os.waitstatus_to_exitcode(status)))


def _settle(output: int, cwd: str, env: dict[str, str]) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    # Drawn anew where numpy is imported; else all would draw the same.
    sys.modules["numpy"].random.seed()


def run_script(words: list[str]) -> None:
    """Do what ``python SCRIPT ARGUMENTS`` does."""
    path = Path(words[0]).absolute()
    sys.path.insert(0, str(path.parent))
    sys.argv[:] = words
    # The file is what loading workers that are not forked import.
    _run(compile(path.read_bytes(), path, "exec"), __file__=str(path))


def call_code(code: str, args: list[str]) -> None:
    """Do what ``python -c CODE ARGUMENTS`` does."""
    sys.argv[:] = ["-c", *args]
    _run(code)


def _run(code: CodeType | str, **names: str) -> None:
    main = sys.modules["__main__"] = ModuleType("__main__")
    vars(main).update(names)
    exec(code, vars(main))
