"""Models from configs, and inference on one video."""

from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from torch import Tensor

from cmac_mm.features import find_test_pipeline
from cmac_mm.utils import load_config, load_weights
from cmac_mm.zoo import place_statistics


def init_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> BaseModel:
    """Build a model from a config and load its weights, ready to run.

    Args:
        config (str | Path | Config): A config, its path, or ``cmac_mm::NAME`` for one of this
            project.
        checkpoint (str | Path | None): Checkpoint file, read weights-only; every weight must
            match. Defaults to None: the weights are random.
        device (str | torch.device): Where the model runs. Defaults to 'cpu'.

    Returns:
        BaseModel: The model in eval mode, with its config as ``model.cfg``.

    Raises:
        FileNotFoundError: If the config or the checkpoint does not exist.
        RuntimeError: If the checkpoint is refused as unsafe or does not fit the model.
    """
    cfg = config if isinstance(config, Config) else load_config(config)
    init_default_scope(cfg.get("default_scope", "mmaction"))
    model = MODELS.build(cfg.model)
    if checkpoint is None:
        # mmengine lists every single parameter when it initialises.
        logger = MMLogger.get_current_instance()
        level = logger.level
        logger.setLevel("WARNING")
        try:
            model.init_weights()
        finally:
            logger.setLevel(level)
    else:
        load_weights(model, checkpoint)
        place_statistics(cfg, checkpoint)
    model.cfg = cfg
    return model.to(device).eval()


def inference(
    model: BaseModel, video: str | Path, return_inputs: bool = False
) -> ActionDataSample | tuple[ActionDataSample, dict[str, Tensor]]:
    """Run a model on one video, through the test pipeline of its config.

    For features, maps and pictures of videos of any length, of many, or of ones that lack sound or
    picture, take :class:`AudioVisualInferencer`, whose clips lie side by side over the whole video.

    Example:
        >>> from cmac_mm.apis import inference, init_model
        >>> model = init_model("cmac_mm::cmac_k400.py", "cmac_k400.pth")
        >>> result = inference(model, "video.mp4")
        >>> result.visual_feature.shape, result.guided_visual_attention.shape
        (torch.Size([512]), torch.Size([10, 4, 8, 8]))

    Args:
        model (BaseModel): A model from :func:`init_model`.
        video (str | Path): The video file.
        return_inputs (bool): Also return what the network got to see and hear, for pictures.
            Defaults to False.

    Returns:
        ActionDataSample | tuple[ActionDataSample, dict[str, Tensor]]: The data sample with the
        model's features and attention maps; with ``return_inputs`` also the inputs: ``imgs`` uint8
        and ``audio``, as the pipeline packs them.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the model has no config, or this has no test pipeline; tells what to add.
        MediaError: If the file cannot be decoded, or lacks the sound the model needs; names it.
    """
    if not Path(video).is_file():
        raise FileNotFoundError(f"video {video} does not exist")
    cfg = getattr(model, "cfg", None)
    if cfg is None:
        raise ValueError(
            f"this {type(model).__name__} has no config with a test_dataloader, whose pipeline "
            "reads the video: build the model with init_model"
        )
    init_default_scope(cfg.get("default_scope", "mmaction"))
    pipeline = Compose(find_test_pipeline(cfg))
    packed = pipeline({"filename": str(video), "sample_idx": 0})
    with torch.no_grad():
        result = model.test_step(default_collate([packed]))[0]
    return (result, packed["inputs"]) if return_inputs else result
