"""Check of labels before the first step."""

from __future__ import annotations

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...datasets import AudioVisualDataset
from .common import all_datasets, bare_model


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Check the labels of all lists against the number of classes of the model's ``cls_head``.

    Before training, validation or a test, for the data sets that are read there. Does nothing for a
    model without such a head: pretraining needs no labels.

    Raises:
        ValueError: If a line has no label or one beyond the classes; names list, line and label.
    """

    def before_run(self, runner: Runner) -> None:
        """Check all lists."""
        num_classes = getattr(getattr(bare_model(runner), "cls_head", None), "num_classes", None)
        if num_classes is None:
            return
        for loop in (runner._train_loop, runner._val_loop, runner._test_loop):
            if hasattr(loop, "dataloader"):  # else it is a config yet, or there is none
                for dataset in all_datasets(loop.dataloader.dataset):
                    if isinstance(dataset, AudioVisualDataset):
                        dataset.check_labels(num_classes)
