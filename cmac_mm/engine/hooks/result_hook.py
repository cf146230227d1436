"""Result file of a test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmaction.registry import HOOKS
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...evaluation import save_result
from .common import bare_model


@HOOKS.register_module()
class ResultHook(Hook):
    """Write the results of a test to ``BENCHMARK.json`` in the work directory.

    ``checkpoint`` in it is the file that the encoder came from before it was fine-tuned: training
    keeps its name in its own checkpoints, which are ``model`` there.

    Args:
        benchmark (str): Data set and protocol, such as ``'ucf101-finetune'``.
        protocol (str, optional): How it is done, such as ``'cmac-32x128'``. Defaults to None.
        split (int, optional): Split of the data set. Defaults to None.
        fold (int, optional): Fold of the data set. Defaults to None.
    """

    def __init__(
        self,
        benchmark: str,
        protocol: str | None = None,
        split: int | None = None,
        fold: int | None = None,
    ) -> None:
        self.benchmark = benchmark
        details = dict(protocol=protocol, split=split, fold=fold)
        self.details = {key: value for key, value in details.items() if value is not None}
        self.meta: dict[str, Any] = {}
        self.encoder: str | None = None

    def before_train(self, runner: Runner) -> None:
        """Record the origin of the encoder.

        Raises:
            RuntimeError: If a checkpoint in the config was not loaded: some of MMAction2's
                backbones have their own ``init_weights``, which passes ``init_cfg`` over.
        """
        model = bare_model(runner)
        loaded = [m.pretrained_checkpoint for m in model.modules() if _is_pretrained(m)]
        lacking = set(_wanted(runner.cfg.model)) - set(loaded)
        if lacking:
            raise RuntimeError(
                f"{', '.join(sorted(lacking))} was not loaded: the backbone "
                f"{type(model.backbone).__name__} passes init_cfg over"
            )
        self.encoder = loaded[0] if loaded else None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the encoder's origin in the checkpoint."""
        checkpoint["meta"]["pretrained_checkpoint"] = self.encoder

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Read the encoder's origin from the checkpoint."""
        self.meta = checkpoint.get("meta", {})

    @master_only
    def after_test_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Write the file."""
        path = Path(runner.work_dir) / f"{self.benchmark}.json"
        save_result(
            path,
            self.benchmark,
            self.meta.get("pretrained_checkpoint"),
            {name.rsplit("/", 1)[-1]: value for name, value in metrics.items()},
            **self.details,
            model=runner._load_from,
            epoch=self.meta.get("epoch"),
            seed=self.meta.get("seed"),
            config=Path(runner.cfg.filename).name,
            num_videos=len(runner.test_dataloader.dataset),
        )
        runner.logger.info(f"written: {path}")


def _is_pretrained(module: Any) -> bool:
    return isinstance(getattr(module, "pretrained_checkpoint", None), str)


def _wanted(config: Any) -> Iterator[str]:
    """Checkpoints of all PretrainedEncoders in the config of a model."""
    if isinstance(config, dict):
        if config.get("type") == "PretrainedEncoder" and config.get("checkpoint") is not None:
            yield str(config["checkpoint"])
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        for part in config:
            yield from _wanted(part)
