"""Runs the project's tools in this process, which saves starting another one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from helpers.paths import TOOLS


def load_tool(name: str) -> ModuleType:
    """The module of ``tools/NAME``, such as ``analysis/cluster_page.py``."""
    path = TOOLS / name
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_tool(name: str, *args: object, cwd: Path | None = None, **env: str) -> None:
    """Call a tool with a command line, in a folder, with variables of the environment."""
    with pytest.MonkeyPatch.context() as patch:
        if cwd is not None:
            patch.chdir(cwd)
        for variable, value in env.items():
            patch.setenv(variable, value)
        patch.setattr("sys.argv", [name, *map(str, args)])
        tool = load_tool(name)
        tool.main(tool.parse_args())
