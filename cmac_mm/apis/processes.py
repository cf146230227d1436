"""Processes that run tools of this project."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..utils import end_with_parent, project_folder


def tool_command(tool: str, arguments: Sequence[str], gpus: int = 1) -> list[str]:
    """Build the command line of a tool.

    Args:
        tool (str): ``'train'``, ``'test'`` or ``'evaluate'``.
        arguments (Sequence[str]): As it takes them; on several GPUs as ``dist_train.sh`` or
            ``dist_test.sh`` does.
        gpus (int): GPUs, or processes on CPU. Defaults to 1.

    Returns:
        list[str]: Program and arguments.
    """
    tools = project_folder("tools")
    if gpus > 1:
        return ["bash", str(tools / f"dist_{tool}.sh"), *arguments]
    return [sys.executable, str(tools / f"{tool}.py"), *arguments]


def run_command(command: Sequence[str], output: Path | None = None) -> int:
    """Run a command; when this process is ended, let the command save and end.

    Args:
        command (Sequence[str]): Program and arguments.
        output (Path, optional): File to which what it prints is appended. Defaults to None: it is
            printed.

    Returns:
        int: Its exit status.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    start = partial(
        subprocess.run,
        command,
        env={**os.environ, "PATH": path},
        preexec_fn=partial(end_with_parent, signal.SIGTERM),
    )
    if output is None:
        return start().returncode
    with output.open("a") as file:
        return start(stdout=file, stderr=subprocess.STDOUT).returncode
