"""Use of trained models from Python."""

from ..models.peers import PEERS, convert_checkpoint
from .inference import inference, init_model

__all__ = ["PEERS", "convert_checkpoint", "inference", "init_model"]
