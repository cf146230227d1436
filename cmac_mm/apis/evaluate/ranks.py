"""Evaluation in several processes."""

import sys
from dataclasses import fields

from ...utils import project_folder
from ..processes import run_command
from .options import Options


def run_on_ranks(options: Options) -> None:
    """Start ``tools/evaluate.py`` on ``options.gpus`` GPUs, or CPU processes, and wait for it.

    Args:
        options (Options): The benchmark, the checkpoint, and how to go about it.

    Raises:
        SystemExit: If it fails.
    """
    tools = project_folder("tools")
    command = [sys.executable, str(tools / "launch.py"), "--standalone"]
    command += ["--nproc_per_node", str(options.gpus), str(tools / "evaluate.py")]
    command += [options.config, options.checkpoint or "none", "--launcher", "pytorch"]
    for field in fields(options)[2:]:
        value = getattr(options, field.name)
        if field.name == "gpus" or value == field.default:
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        command += [f"--{field.name.replace('_', '-')}", *(str(v) for v in values if v is not True)]
    status = run_command(command)
    if status:
        sys.exit(status if status > 0 else 1)
