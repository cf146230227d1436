"""Features of a benchmark's data, computed by any number of ranks."""

from collections.abc import Callable

from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.dist import init_dist, is_distributed, is_main_process
from mmengine.registry import init_default_scope
from torch import Tensor
from torch.utils.data import Dataset

from ...utils import setup_launcher, shut_down
from ..encoder_features import encoder_features
from .options import Options


def test_features(
    cfg: Config, options: Options, field: str, check: Callable[[Dataset], object]
) -> tuple[dict[str, Tensor], Dataset] | None:
    """Extract features of a config's test data, shared among the ranks.

    Args:
        cfg (Config): A config whose model is a :class:`FeatureExtractor`.
        options (Options): The checkpoint, and how to go about it.
        field (str): Field to keep, ``'visual_feature'`` or ``'audio_feature'``.
        check (Callable): Complains about the data set before anything is computed.

    Returns:
        tuple[dict[str, Tensor], Dataset] | None: What :func:`encoder_features` gives, and the data
        set. None on all ranks but the first.
    """
    setup_launcher(cfg, options.launcher)
    if options.launcher != "none" and not is_distributed():
        init_dist(options.launcher)
    init_default_scope(cfg.get("default_scope", "mmaction"))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    check(dataset)
    features = encoder_features(
        cfg,
        options.checkpoint,
        field,
        options.cache_dir or options.folder / "features",
        options.encoder_prefix,
        options.seed,
        options.by_content,
        dataset,
    )
    goes_on = is_main_process()
    # What follows may take longer than ranks wait for each other.
    shut_down()
    return (features, dataset) if goes_on else None
