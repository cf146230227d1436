"""Trainings and evaluations that are skipped when their results exist."""

import json
from dataclasses import dataclass
from pathlib import Path

from ..utils import read_json, write_text
from .processes import run_command


@dataclass(frozen=True)
class Step:
    """One process: a training or an evaluation.

    Attributes:
        name (str): What people are told, such as ``'train'``.
        command (list[str]): Program and arguments.
        folder (Path): Its work folder.
        results (list[Path]): The files that are there when it is done.
        settings (dict): What the results depend on; kept in the folder as ``step.json``.
    """

    name: str
    command: list[str]
    folder: Path
    results: list[Path]
    settings: dict

    @property
    def is_done(self) -> bool:
        """Whether the results exist.

        Raises:
            ValueError: If the folder holds something else.
        """
        path = self.folder / "step.json"
        if path.is_file() and (found := read_json(path)) != self.settings:
            raise ValueError(
                f"{path} has {found}, expected {self.settings}: choose another --work-dir, or "
                "remove that folder"
            )
        return all(result.is_file() for result in self.results)

    @property
    def output(self) -> Path:
        """File of the process's output."""
        return self.folder / "output.txt"

    def run(self) -> int:
        """Start the process and wait for it; returns its exit status."""
        write_text(self.folder / "step.json", json.dumps(self.settings, indent=2) + "\n")
        return run_command(self.command, self.output)
