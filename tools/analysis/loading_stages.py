"""Where the time of the training pipeline goes, and what a DataLoader makes of it."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from unittest.mock import patch

from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.runner import Runner

from cmac_mm.datasets.av_reader import MediaFile, sound, video
from cmac_mm.datasets.transforms import loading
from cmac_mm.datasets.transforms.pictures import CroppedPictures, _Scaler

BATCH = 16
CONFIG = "configs/_base_/datasets/k400_32x128.py"


class Stages:
    """Adds up processor time by stage; time of an inner stage does not count for the outer."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside ``with`` for a stage."""
        begin = time.process_time()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = time.process_time() - begin
            self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inner.pop()
            self._inner[-1] += spent

    def watched(self, name: str, function: Callable) -> Callable:
        """The function, its time counted for a stage."""

        @wraps(function)
        def call(*args: object, **kwargs: object) -> object:
            with self.stage(name):
                return function(*args, **kwargs)

        return call


def training_config() -> Config:
    """The data part of configs/cmac_k400.py."""
    return Config.fromfile(Path(__file__).resolve().parents[2] / CONFIG)


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
        (names[config["type"]], Compose([config])) for config in training_config().train_pipeline
    ]
    with (
        patch.object(MediaFile, "seek", stages.watched("seek", MediaFile.seek)),
        patch.object(video, "_collect", stages.watched("read packets", video._collect)),
        patch.object(_Scaler, "__call__", stages.watched("scale, to RGB", _Scaler.__call__)),
        patch.object(CroppedPictures, "add", stages.watched("crop", CroppedPictures.add)),
        patch.object(loading, "read_sound", stages.watched("sound: decode", sound.read_sound)),
        patch.object(sound._Part, "cut", stages.watched("sound: resample", sound._Part.cut)),
    ):
        samples = []
        for turn in range(starts + 1):
            for path in files:
                results = dict(filename=path)
                for name, transform in pipeline:
                    with stages.stage(name):
                        results = transform(results)
                samples.append(results)
                if len(samples) == BATCH:
                    with stages.stage("collate"):
                        batch = default_collate(samples)
                    with stages.stage("transfer to the parent"):
                        ForkingPickler.loads(bytes(ForkingPickler.dumps(batch)))
                    samples = []
            if turn == 0:  # the first round warms up
                stages.seconds.clear()
    return {name: 1e3 * spent / (starts * len(files)) for name, spent in stages.seconds.items()}


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
            config.dataset.ann_file = str(listing)
            loader = iter(Runner.build_dataloader(config, seed=0))
            for _ in range(2 * max(1, count)):
                next(loader)
            wall, main = time.perf_counter(), time.process_time()
            for _ in range(batches):
                next(loader)
            wall, main = time.perf_counter() - wall, time.process_time() - main
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            del loader  # ends the workers, whose time is known from then on
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            results[count] = dict(
                clips_per_second=BATCH * batches / wall,
                clips_per_cpu_second=BATCH * batches / spent if spent else 0.0,
                main_cpu_ms=1e3 * main / batches,
            )
    return results
