"""Training runs of seconds on real videos, through MMEngine's runner."""

import itertools

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from cmac_mm.datasets.sounding_shapes import make_sounding_shapes
from cmac_mm.utils import load_config

NUM_VIDEOS = 10
_count = itertools.count()


class RecordLosses(Hook):
    """Keeps the losses of all steps, and stops the run as if it had crashed."""

    priority = "LOWEST"

    def __init__(self, stop_after=None):
        self.losses, self.stop_after = [], stop_after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        files = [sample.filename for sample in data_batch["data_samples"]]
        self.losses.append((outputs["loss"].item(), files))

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.stop_after:
            raise InterruptedError


@pytest.fixture(scope="session")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    make_sounding_shapes(folder, num_train=NUM_VIDEOS, num_test=2, num_bad=1, seed=0, workers=2)
    return folder


@pytest.fixture
def config(shapes):
    """The demo's config for a data set of ten videos, two a step: with queues, dropout of sound
    and colour jitter, so that everything that has a state or draws at random is there."""

    def make(work_dir, **options):
        cfg = load_config(
            "configs/demo/cmac_sounding-shapes.py",
            {
                "work_dir": str(work_dir),
                "model.queue_size": 7,
                "model.grad_norm_interval": 0,
                "model.data_preprocessor.color_jitter": dict(brightness=0.4, hue=0.2),
                "train_dataloader.batch_size": 2,
                "train_dataloader.num_workers": 0,
                "train_dataloader.persistent_workers": False,
                "train_dataloader.dataset.ann_file": str(shapes / "train.txt"),
                "train_dataloader.dataset.data_prefix.video": str(shapes),
                "train_cfg.max_epochs": 2,
                "default_hooks.checkpoint.interval_iters": 1,
                "default_hooks.logger.interval": 3,
                "randomness.seed": 5,
                **options,
            },
        )
        cfg.train_dataloader.dataset.pipeline.insert(-1, dict(type="SpecAugment", time_mask=4))
        cfg.custom_hooks = [h for h in cfg.custom_hooks if h.type != "RetrievalMonitorHook"]
        cfg.experiment_name = work_dir.name
        return cfg

    return make


def train(cfg, stop_after=None, resume=False):
    """Run; returns the losses and files of the steps, and the final state."""
    torch.set_num_threads(1)
    cfg = cfg.copy()
    cfg.resume = resume
    cfg.experiment_name += f"_{next(_count)}"  # MMEngine keeps one log for each name
    runner = Runner.from_cfg(cfg)
    recorder = RecordLosses(stop_after)
    runner.register_hook(recorder)
    try:
        runner.train()
    except InterruptedError:
        return recorder.losses, None
    return recorder.losses, runner.model.state_dict()
