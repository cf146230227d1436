"""Configs, checkpoints and the process set-up; imports nothing from the other subpackages."""

from .checkpoint import list_mismatches, load_checkpoint, load_weights, weights_only
from .config import config_path, load_config
from .random_state import fixed_random_state
from .setup_env import setup_launcher, shut_down

__all__ = [
    "config_path",
    "fixed_random_state",
    "list_mismatches",
    "load_checkpoint",
    "load_config",
    "load_weights",
    "setup_launcher",
    "shut_down",
    "weights_only",
]
