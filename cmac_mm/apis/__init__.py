"""Use of trained models from Python."""

from .converters import PEERS, convert_checkpoint
from .inference import inference, init_model

__all__ = ["PEERS", "convert_checkpoint", "inference", "init_model"]
