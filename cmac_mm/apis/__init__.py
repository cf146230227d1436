"""Use of trained models from Python."""

from ..zoo import PEERS, convert_checkpoint, list_models
from .encoder_features import encoder_features
from .inference import inference, init_model
from .inferencer import AudioVisualInferencer

__all__ = [
    "PEERS",
    "AudioVisualInferencer",
    "convert_checkpoint",
    "encoder_features",
    "inference",
    "init_model",
    "list_models",
]
