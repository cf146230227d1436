"""Options of an evaluation."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction

from ...utils import load_config


@dataclass(frozen=True)
class Options:
    """Options of an evaluation: benchmark, checkpoint, folders, processes.

    Attributes:
        config (str): Path of the benchmark's config, or ``cmac_mm::NAME``.
        checkpoint (str | None): The checkpoint that is judged, or the name of a released model;
            None for random weights.
        work_dir (Path | None): Folder for the results. Defaults to None: ``work_dirs/CONFIG_NAME``.
        seed (int): Of all random draws. Defaults to 0.
        gpus (int): GPUs, or processes on CPU. Defaults to 1.
        splits (Sequence[int] | None): Splits or folds to run. Defaults to None: those of the
            config.
        encoder_prefix (str | None): What the encoder's keys in the checkpoint start with, ``''``
            for a plain state dict. Defaults to None: as pretraining writes them.
        cache_dir (Path | None): Folder for features. Defaults to None: ``WORK_DIR/features``.
        by_content (bool): Tell replaced files by their content, not by size and time of change.
            Defaults to False.
        launcher (str): What has started this process as one of several ranks: 'none', 'pytorch',
            'slurm' or 'mpi'. Defaults to 'none'.
        cfg_options (Sequence[str]): Overrides of the config, ``KEY=VALUE``. Defaults to none.
    """

    config: str
    checkpoint: str | None
    work_dir: Path | None = None
    seed: int = 0
    gpus: int = 1
    splits: Sequence[int] | None = None
    encoder_prefix: str | None = None
    cache_dir: Path | None = None
    by_content: bool = False
    launcher: str = "none"
    cfg_options: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        return self.work_dir or Path("work_dirs", Path(self.config.split("::")[-1]).stem)

    def load_config(self, cfg_options: Sequence[str] | None = None) -> Config:
        """Read the config.

        Args:
            cfg_options (Sequence[str], optional): Overrides. Defaults to None: ``cfg_options``.
        """
        parser = argparse.ArgumentParser()
        parser.add_argument("--cfg-options", nargs="+", action=DictAction)
        texts = self.cfg_options if cfg_options is None else cfg_options
        values: dict[str, Any] | None = None
        if texts:
            values = parser.parse_args(["--cfg-options", *texts]).cfg_options
        return load_config(self.config, values)
