"""Use of trained models from Python."""

from ..zoo import FORMATS, convert_checkpoint, export_to_torchvision, list_models
from .encoder_features import encoder_features
from .export import export_encoders
from .inference import inference, init_model
from .inferencer import AudioVisualInferencer
from .released import ModelInfo, get_model, models_table, released_checkpoint
from .search import index_folder, made_by, search_file
from .sources import expand_paths

__all__ = [
    "FORMATS",
    "AudioVisualInferencer",
    "ModelInfo",
    "convert_checkpoint",
    "encoder_features",
    "expand_paths",
    "export_encoders",
    "export_to_torchvision",
    "get_model",
    "index_folder",
    "inference",
    "init_model",
    "list_models",
    "made_by",
    "models_table",
    "released_checkpoint",
    "search_file",
]
