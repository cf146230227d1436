"""Features of a dataset by a pretrained encoder, kept on disk."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_main_process
from mmengine.runner import set_random_seed
from torch import Tensor
from torch.utils.data import Dataset

from ..features import cached_features
from .inference import init_model


def encoder_features(
    cfg: Config,
    checkpoint: str | Path | None,
    field: str,
    cache_dir: str | Path,
    prefix: str | None = None,
    seed: int = 0,
    by_content: bool = False,
    dataset: Dataset | None = None,
) -> dict[str, Tensor]:
    """Extract the features of a config's test data, or read them from disk.

    Args:
        cfg (Config): A config whose model is a :class:`FeatureExtractor`.
        checkpoint (str | Path | None): Pretrained checkpoint; None for random weights.
        field (str): Field to keep, ``'visual_feature'`` or ``'audio_feature'``.
        cache_dir (str | Path): Folder for the features.
        prefix (str, optional): See :meth:`FeatureExtractor.load_encoder`. Defaults to None.
        seed (int): Seed of random weights. Defaults to 0.
        by_content (bool): See :func:`cached_features`. Defaults to False.
        dataset (Dataset, optional): The test data, where it has been built already. Defaults to
            None: it is built.

    Returns:
        dict[str, Tensor]: The field, ``sample_idx`` and ``label``, in the order of the data set.

    Raises:
        RuntimeError: If the weights do not fit the encoder.
    """
    set_random_seed(seed)
    model = init_model(cfg, device=get_device())
    if checkpoint is not None:
        model.load_encoder(checkpoint, prefix)
    elif is_main_process():
        print(f"no checkpoint: random weights of seed {seed}")
    torch.backends.cudnn.deterministic = True
    return cached_features(
        model,
        cfg.test_dataloader,
        cache_dir,
        dict(model=cfg.model),
        fields=[field],
        by_content=by_content,
        dataset=dataset,
    )
