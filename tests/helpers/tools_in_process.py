"""Runs the project's tools in this process, which saves starting another one."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from helpers.paths import TOOLS


def load_tool(name: str | Path) -> ModuleType:
    """The module of ``tools/NAME``, such as ``analysis/cluster_page.py``, or of a path."""
    path = TOOLS / name
    spec = importlib.util.spec_from_file_location(f"tool_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look it up
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
