"""Pictures of the attention in a few fixed clips during pretraining."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import DATASETS, HOOKS
from mmengine.dataset import default_collate
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import Dataset

from ...datasets.pipelines import SOUND_STEPS
from ...features import find_test_pipeline
from ...features.extract import eval_mode
from ...utils import fixed_random_state
from .common import bare_model


@HOOKS.register_module()
class AttentionSheetHook(Hook):
    """Send pictures of a few fixed clips with their attention to the visualizer.

    One row a clip: its middle frame and spectrogram, with guided and predicted attention.
    MMEngine's visualizer hands the picture to its backends: a file
    ``vis_data/vis_image/attention_STEP.png``, TensorBoard, W&B. Training is the same with and
    without it.

    Args:
        dataset (dict, optional): Config of the data set that the clips are from. Defaults to None:
            the config's test data set.
        num_videos (int): Clips, evenly spread over the list. Defaults to 4.
        interval (int): Epochs between two sheets. Defaults to 1.

    Raises:
        ValueError: If a number is out of range; at the first sheet, if there is no data set, or the
            model gives no attention.
        MediaError: At a sheet, if a video cannot be used.
    """

    priority = "LOW"  # after the hook that averages the batch norms' statistics over ranks

    def __init__(self, dataset: dict | None = None, num_videos: int = 4, interval: int = 1) -> None:
        for name, value in (("num_videos", num_videos), ("interval", interval)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.cfg = dataset
        self.num_videos = num_videos
        self.interval = interval
        self._dataset: Dataset | None = None

    def after_train_epoch(self, runner: Runner) -> None:
        """Draw, every ``interval`` epochs, on the first rank."""
        if not self.every_n_epochs(runner, self.interval) or not is_main_process():
            return
        # Loads matplotlib, which training does without.
        from ...visualization import row_centres, sheet_image, sheet_row

        if self._dataset is None:
            self._dataset = self._build(runner)
        model, rows, duration = bare_model(runner), [], None
        count = min(self.num_videos, len(self._dataset))
        with eval_mode(model), torch.no_grad(), fixed_random_state(0):
            for index in np.linspace(0, len(self._dataset) - 1, count).round().astype(int):
                packed = self._dataset[int(index)]
                (sample,) = model.test_step(default_collate([packed]))
                rows.append(sheet_row(packed["inputs"], sample, Path(sample.filename).stem))
                duration = sample.get("audio_duration")
        if not any(row.attention for row in rows):
            raise ValueError(
                f"AttentionSheetHook: {type(model).__name__} gives no attention to draw"
            )
        steps = self._dataset.pipeline.transforms
        spectrogram = next(step for step in steps if type(step).__name__ in SOUND_STEPS)
        image = sheet_image(rows, row_centres(spectrogram), duration)
        runner.visualizer.add_image("attention", image, step=runner.iter)

    def _build(self, runner: Runner) -> Dataset:
        cfg = copy.deepcopy(self.cfg)
        if cfg is None:
            find_test_pipeline(runner.cfg)  # which says what to add if there is none
            cfg = copy.deepcopy(runner.cfg.test_dataloader.dataset)
        return DATASETS.build(cfg)
