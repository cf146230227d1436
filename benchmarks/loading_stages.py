"""Where the time of the training pipeline goes, and what a DataLoader makes of it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from unittest.mock import patch

from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.runner import Runner

from cmac_mm.datasets.av_reader import MediaFile, sound, video
from cmac_mm.datasets.transforms import loading
from cmac_mm.datasets.transforms.pictures import CroppedPictures

BATCH = 16
CONFIG = "configs/_base_/datasets/cmac_32x128.py"


class Stages:
    """Adds up processor time by stage; time of an inner stage does not count for the outer."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    def watched(self, name: str, function: Callable) -> Callable:
        """The function, its time counted for a stage."""

        @wraps(function)
        def call(*args: object, **kwargs: object) -> object:
            self._inner.append(0.0)
            begin = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.process_time() - begin
                self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inner.pop()
                self._inner[-1] += spent

        return call


def training_config() -> Config:
    """The data part of configs/cmac_k400.py."""
    return Config.fromfile(Path(__file__).resolve().parents[1] / CONFIG)


def measure_stages(files: list[str], starts: int) -> dict[str, float]:
    """Milliseconds a clip of each stage of the training pipeline, in one process."""
    names = dict(
        OpenAudioVisual="open",
        SampleClips="draw",
        DecodeAudioVisual="decode picture",
        LogMelSpectrogram="mel",
        SpecAugment="augment sound",
        PackAudioVisual="pack",
    )
    stages = Stages()
    pipeline = [
        stages.watched(names[config["type"]], Compose([config]))
        for config in training_config().train_pipeline
    ]
    collate = stages.watched("collate", default_collate)
    send = stages.watched("transfer to the parent", _send)
    with (
        # As in a worker, whose batches are collated into shared memory.
        patch("torch.utils.data.get_worker_info", lambda: True),
        _patch(stages, "seek", MediaFile, "seek"),
        _patch(stages, "read packets", video, "_collect"),
        _patch(stages, "scale, to RGB, crop", CroppedPictures, "add"),
        _patch(stages, "decode sound", loading, "read_sound"),
        _patch(stages, "resample sound", sound._Part, "cut"),
    ):
        samples = []
        for turn in range(starts + 1):
            for path in files:
                results = dict(filename=path)
                for transform in pipeline:
                    results = transform(results)
                samples.append(results)
                if len(samples) == BATCH:
                    send(collate(samples))
                    samples = []
            if turn == 0:  # the first round warms up
                stages.seconds.clear()
    return {name: 1e3 * spent / (starts * len(files)) for name, spent in stages.seconds.items()}


def _patch(stages: Stages, name: str, owner: object, function: str) -> object:
    return patch.object(owner, function, stages.watched(name, getattr(owner, function)))


def _send(batch: dict) -> dict:
    """Both sides of what a queue between processes does."""
    return ForkingPickler.loads(bytes(ForkingPickler.dumps(batch)))


def measure_loader(files: list[str], workers: list[int], batches: int) -> dict[int, dict]:
    """Speed of a DataLoader on the training set-up with each number of workers."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "train.txt"
        repeats = -(-BATCH * (batches + 8) // len(files))
        listing.write_text("\n".join(f"{path} {i}" for i, path in enumerate(files * repeats)))
        for count in workers:
            config = training_config().train_dataloader
            config.update(num_workers=count, persistent_workers=count > 0, pin_memory=False)
            config.sampler = dict(type="DefaultSampler", shuffle=True)
            config.dataset.ann_file = str(listing)
            loader = iter(Runner.build_dataloader(config, seed=0))
            for _ in range(2 * max(1, count)):
                next(loader)
            begin = time.perf_counter(), time.process_time(), _seconds_of_children()
            for _ in range(batches):
                next(loader)
            end = time.perf_counter(), time.process_time(), _seconds_of_children()
            wall, main, spent = (after - before for before, after in zip(begin, end, strict=True))
            del loader  # ends the workers
            results[count] = dict(
                clips_per_second=BATCH * batches / wall,
                worker_cpu_ms=1e3 * spent / (BATCH * batches),
                main_cpu_ms=1e3 * main / (BATCH * batches),
            )
    return results


def _seconds_of_children() -> float:
    """Processor time that the living processes below this one have spent (Linux)."""
    parents, ticks = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            continue
        process = int(path.parent.name)
        parents[process], ticks[process] = int(fields[1]), int(fields[11]) + int(fields[12])
    family = {os.getpid()}
    while found := {process for process, parent in parents.items() if parent in family} - family:
        family |= found
    return sum(ticks.get(process, 0) for process in family - {os.getpid()}) / os.sysconf(
        "SC_CLK_TCK"
    )
