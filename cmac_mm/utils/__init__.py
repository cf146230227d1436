"""Configs, checkpoints and the process set-up; imports nothing from the other subpackages."""

from .checkpoint import load_checkpoint, write_checkpoint
from .config import config_path, load_config, project_folder
from .files import write_bytes, write_npy, write_text
from .parallel import Failure, default_workers, run_parallel
from .random_state import fixed_random_state, seed_all
from .read import (
    BLANKS,
    read_array,
    read_arrays,
    read_classes,
    read_json,
    read_lines,
    split_lines,
)
from .resume import latest_checkpoint
from .setup_env import end_with_parent, setup_launcher, shut_down
from .training_list import refuse_other_list
from .watch import Watch
from .weights import (
    list_mismatches,
    load_weights,
    put_weights,
    refuse_non_finite,
    weights_of,
)

__all__ = [
    "BLANKS",
    "Failure",
    "Watch",
    "config_path",
    "default_workers",
    "end_with_parent",
    "fixed_random_state",
    "latest_checkpoint",
    "list_mismatches",
    "load_checkpoint",
    "load_config",
    "load_weights",
    "project_folder",
    "put_weights",
    "read_array",
    "read_arrays",
    "read_classes",
    "read_json",
    "read_lines",
    "refuse_non_finite",
    "refuse_other_list",
    "run_parallel",
    "seed_all",
    "setup_launcher",
    "shut_down",
    "split_lines",
    "weights_of",
    "write_bytes",
    "write_checkpoint",
    "write_npy",
    "write_text",
]
