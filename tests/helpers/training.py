"""Training runs of seconds on real videos, through MMEngine's runner."""

import itertools
import json
import signal
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from mmengine.dist import all_reduce, get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from cmac_mm.models import DeepClustering
from cmac_mm.utils import load_config, setup_launcher, shut_down

_count = itertools.count()


class RecordLosses(Hook):
    """Keeps the losses and files of all steps, and stops the run as if it had crashed."""

    priority = "LOWEST"

    def __init__(self, stop_after, dtype):
        self.steps, self.stop_after, self.dtype = [], stop_after, dtype

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = outputs["loss"].detach().clone()
        all_reduce(loss, "mean")
        self.steps.append((loss.item(), [s.filename for s in data_batch["data_samples"]]))

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        data_batch["inputs"]["audio"] = data_batch["inputs"]["audio"].to(self.dtype)
        if runner.iter == self.stop_after:
            raise InterruptedError


class RecordLabels(Hook):
    """Writes what each step's classification layers were given, with the videos' row numbers."""

    def before_train(self, runner):
        self.steps = []
        model = getattr(runner.model, "module", runner.model)
        for name, head in model.head.classifiers.items():
            head.register_forward_hook(partial(self.note, name))

    def note(self, name, head, inputs, output):
        self.steps[-1][name] = inputs[1].tolist()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        rows = [sample.sample_idx for sample in data_batch["data_samples"]]
        self.steps.append(dict(epoch=runner.epoch, rows=rows))

    def after_train(self, runner):
        path = Path(runner.work_dir) / f"labels{get_rank()}.json"
        path.write_text(json.dumps(self.steps))


# What has a state, in each method: queues; banks, and positives that are mined after an epoch;
# clusters, new ones each epoch.
METHODS = {
    "cmac": {"filter_channels": 16, "model.queue_size": 7, "model.grad_norm_interval": 0},
    "avid-cma": {
        "load_from": None,
        "model.num_negatives": 16,
        "model.head.num_agreement_negatives": 8,
        "model.num_positives": 2,
        "model.bank_momentum": 0.5,
    },
    "xdc": {"model.head.num_clusters": 3},
    "mdc": {"model.head.num_clusters": 3},
}


def make_config(shapes, work_dir, options):
    """A demo's config for ten videos, two a step, with thinner networks and smaller pictures; with
    masks in the sound and colour jitter, so that everything that has a state or draws at random is
    there. ``method`` is a key of METHODS."""
    options = dict(options)
    method = options.pop("method", "cmac")
    cfg = load_config(
        f"configs/demo/{method}_sounding-shapes.py",
        {
            "work_dir": str(work_dir),
            "visual_width": 4,
            "audio_width": 8,
            **METHODS[method],
            "model.data_preprocessor.color_jitter": dict(brightness=0.4, hue=0.2),
            "train_dataloader.batch_size": 2,
            "train_dataloader.num_workers": 0,
            "train_dataloader.persistent_workers": False,
            "train_dataloader.dataset.pipeline.2.short_side": 32,
            "train_dataloader.dataset.pipeline.3.transforms.0.size": 32,
            "train_dataloader.dataset.ann_file": f"{shapes}/train.txt",
            "train_dataloader.dataset.data_prefix.video": str(shapes),
            "train_cfg.max_epochs": 2,
            "default_hooks.checkpoint.interval_iters": 1,
            "default_hooks.logger.interval": 3,
            "randomness.seed": 5,
            **options,
        },
    )
    cfg.train_dataloader.dataset.pipeline.insert(-1, dict(type="SpecAugment", time_mask=4))
    for hook in cfg.custom_hooks:
        if hook.type == "CrossModalAgreementHook":
            hook.start_epoch = 1
        if hook.type == "ClusteringHook":
            hook.update(batch_size=4, pca_dim=None)
            if "pipeline" in hook:
                hook.pipeline[2].short_side = hook.pipeline[3].crop_size = 32
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != "RetrievalMonitorHook"]
    return cfg


def without_float32(step, *args, **kwargs):
    """A step whose losses, too, are in float64: rounding grows in batch norm over few clips."""
    with mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
        return step(*args, **kwargs)


def train(cfg, stop_after=None, resume=False, dtype=torch.float32):
    """Run; returns the steps' losses and files, and the final state (None if it was stopped)."""
    torch.set_num_threads(1)
    cfg = cfg.copy()
    cfg.resume = resume
    cfg.experiment_name = f"test_{next(_count)}"  # MMEngine keeps one log for each name
    torch.set_default_dtype(dtype)
    runner = Runner.from_cfg(cfg)
    torch.set_default_dtype(torch.float32)
    for name, module in runner.model.named_modules():
        if name.endswith("audio_backbone"):  # what is no training step, too
            module.register_forward_pre_hook(lambda _, args: (args[0].to(dtype),))
    if dtype == torch.float64:
        runner.model.train_step = partial(without_float32, runner.model.train_step)
    recorder = RecordLosses(stop_after, dtype)
    runner.register_hook(recorder)
    if isinstance(getattr(runner.model, "module", runner.model), DeepClustering):
        runner.register_hook(RecordLabels())
    try:
        model = runner.train()
    except InterruptedError:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        return recorder.steps, None
    return recorder.steps, getattr(model, "module", model).state_dict()


def assert_same(first, second):
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


def run_options(options):
    """A run in float64 as one of several ranks: its steps and final state."""
    options = dict(options)
    cfg = make_config(options.pop("shapes"), options.pop("work_dir"), options)
    setup_launcher(cfg, "pytorch")
    steps, state = train(cfg, dtype=torch.float64)
    shut_down()
    return dict(steps=steps, state=state)
