"""A worker runs one thread, and neither its memory nor its open files grow."""

from __future__ import annotations

import gc
import os
import pickle
import resource
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.media_tools import write_video
from helpers.paths import ROOT
from mmaction.structures import ActionDataSample
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader, Dataset

from cmac_mm.datasets import MediaError, PackAudioVisual

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux's /proc")

PAGE = resource.getpagesize()
PIPELINE = [
    dict(type="OpenAudioVisual"),
    dict(type="SampleClips", duration=0.5),
    dict(
        type="DecodeAudioVisual",
        fps=30,
        short_side=144,
        transforms=[dict(type="RandomCrop", size=128), dict(type="Flip")],
    ),
    dict(type="LogMelSpectrogram"),
    dict(type="SpecAugment"),
    dict(type="PackAudioVisual"),
]


class Clips(Dataset):
    """Loads clips as in training; gives each time what the process holds by then."""

    def __init__(self, files: list[Path], length: int, pipeline: list[dict]) -> None:
        self.files = [str(path) for path in files]
        self.length = length
        self.pipeline = pipeline

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        with DefaultScope.overwrite_default_scope("mmaction"):
            pipeline = Compose(self.pipeline) if isinstance(self.pipeline, list) else self.pipeline
        self.pipeline = pipeline
        results = dict(filename=self.files[index % len(self.files)])
        refused = False
        try:
            pipeline(results)
        except MediaError:
            refused = True
        finally:
            media = results.pop("media", None)
            if media is not None:
                media.close()
        if index % 100 == 99:
            gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return dict(
            refused=refused,
            megabytes=pages * PAGE / 2**20,
            handles=len(list(Path("/proc/self/fd").iterdir())),
            threads=thread_ticks(),
            limits=[cv2.getNumThreads(), torch.get_num_threads()],
        )


def thread_ticks() -> dict[int, int]:
    """Processor time of each thread of this process, the main one first, in clock ticks."""
    ticks = {os.getpid(): 0}
    for path in Path("/proc/self/task").iterdir():
        fields = (path / "stat").read_text().rpartition(")")[2].split()
        ticks[int(path.name)] = int(fields[11]) + int(fields[12])
    return ticks


def load(files: list[Path], length: int, pipeline: list[dict], **kwargs: object) -> list[dict]:
    clips = Clips(files, length, pipeline)
    return list(DataLoader(clips, batch_size=None, num_workers=1, **kwargs))


@pytest.fixture
def opencv_as_in_training():
    """OpenCV's threads as the configs have MMEngine set them before workers are started."""
    config = Config.fromfile(ROOT / "configs/cmac_k400.py")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(config.env_cfg.mp_cfg.opencv_num_threads)
    yield
    cv2.setNumThreads(threads)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_a_worker_runs_one_thread(media_dir, opencv_as_in_training, context):
    """Also with OpenCV's scaling of large pictures, which would take all cores."""
    pipeline = [
        *PIPELINE[:2],
        dict(type="DecodeAudioVisual", fps=10),
        dict(type="Resize", scale=(-1, 1600)),
        dict(type="RandomCrop", size=128),
        *PIPELINE[3:],
    ]
    files = [media_dir / "torchvision_videos/WUzgd7C1pWA.mp4"]
    first, *_, last = load(files, 12, pipeline, multiprocessing_context=context)
    assert last["limits"] == [1, 1]
    # From the first sample on: importing the libraries starts threads too.
    spent = {n: ticks - first["threads"].get(n, 0) for n, ticks in last["threads"].items()}
    main, *others = spent.values()
    assert main > 20
    assert sum(others) <= max(5, 0.05 * main), spent


@pytest.mark.parametrize("length", [400, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.timeout(3600)
def test_memory_and_handles_of_a_worker_stay_flat(media_dir, tmp_path, length):
    """Good files, a silent one, one without sound, damaged ones, one that is none."""
    files = []
    for i in range(4):
        files.append(tmp_path / f"{i}.mp4")
        write_video(files[-1], seconds=2, size=(192, 144), noise=np.random.default_rng(i), gop=16)
    files += [
        media_dir / "kinetics/bungee_jumping/dAeUFSdYG1I_000010_000020.mp4",
        media_dir / "nasty/imageio__realshort.mp4",
        media_dir / "nasty/decord__corrupted.mp4",
        media_dir / "nasty/mp4parse__short-cenc.mp4",
        media_dir / "nasty/exoplayer__video_desks.3gp",
        media_dir / "nasty/moviepy__result.webm",
    ]
    gc.collect()  # a worker must not inherit open files that nobody holds, and close them later
    seen = load(files, length, PIPELINE)
    refused = sum(one["refused"] for one in seen)
    assert 0.2 * length < refused < 0.5 * length
    tenth = length // 10
    early, middle, late = (
        max(one["megabytes"] for one in seen[first : first + tenth])
        for first in (2 * tenth, length // 2, length - tenth)
    )
    assert late - early < 20, (early, middle, late)
    # Whatever the length: what grows with every clip would show in 10,000 of them.
    assert late - middle < 10, (early, middle, late)
    # Tensors on their way to the main process hold handles for a moment; a leak would stay.
    handles = [one["handles"] for one in seen]
    parts = [handles[first : first + tenth] for first in range(tenth, length - tenth + 1, tenth)]
    assert {min(part) for part in parts} == {min(handles[tenth:])}, parts
    assert max(handles) <= min(handles[tenth:]) + 8, parts


def test_labels_travel_by_value():
    """No shared memory for each of them, and all else of a data sample as it was."""
    results = dict(audios=torch.zeros(1, 1, 40, 10), num_clips=1, label=3, clip_start=[0.5])
    sample = PackAudioVisual()({**results, "crop_quadruple": np.arange(4)})["data_samples"]
    back = pickle.loads(pickle.dumps(sample))
    assert isinstance(back, ActionDataSample)
    assert back.gt_label.tolist() == [3]
    assert back.gt_label.dtype == sample.gt_label.dtype
    assert back.clip_start == [0.5]
    np.testing.assert_array_equal(back.crop_quadruple, np.arange(4))
    assert sorted(back.all_keys()) == sorted(sample.all_keys())  # a set: in no order
    assert not any(isinstance(value, torch.Tensor) for value in sample.__getstate__().values())
    results.pop("label")
    sample = PackAudioVisual()(results)["data_samples"]
    assert "gt_label" not in pickle.loads(pickle.dumps(sample))


def test_a_batch_is_collated_in_the_worker(media_dir):
    """The main process is handed shared memory, which it need not copy."""
    with DefaultScope.overwrite_default_scope("mmaction"):
        pipeline = Compose(PIPELINE)
    path = str(media_dir / "torchvision_videos/WUzgd7C1pWA.mp4")

    class Samples(Dataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> dict:
            return pipeline(dict(filename=path, label=index))

    loader = DataLoader(Samples(), batch_size=2, num_workers=1, collate_fn=default_collate)
    for number, batch in enumerate(loader):
        assert batch["inputs"]["imgs"].shape == (2, 3, 15, 128, 128)
        assert batch["inputs"]["imgs"].is_shared()
        assert batch["inputs"]["audio"].is_shared()
        labels = [sample.gt_label.item() for sample in batch["data_samples"]]
        assert labels == [2 * number, 2 * number + 1]
