"""Mean and deviation of a training set's spectrograms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from ..utils import Failure, run_parallel, seed_all, write_text

_KEPT = ("OpenAudioVisual", "SampleClips", "DecodeAudioVisual", "VolumeJitter", "AVIDSpectrogram")


@dataclass
class StatisticsSummary:
    """Summary of the measured statistics.

    Args:
        num_clips (int): Clips that were heard.
        failures (list[str]): What could not be, ``file: reason``.
        mean (np.ndarray): Mean of each band in dB.
        std (np.ndarray): Standard deviation of each band in dB.
    """

    num_clips: int
    mean: np.ndarray
    std: np.ndarray
    failures: list[str] = field(default_factory=list)


def spectrogram_statistics(
    cfg: Config,
    out: str | Path | None = None,
    max_videos: int = 10000,
    seed: int = 0,
    workers: int | None = None,
    timeout: float = 60.0,
) -> StatisticsSummary:
    """Measure the training set of a config and write the file that :class:`AVIDSpectrogram` reads.

    Hears one clip of each video, drawn as in training, pictures left aside. Mean and standard
    deviation of a band are over all frames of all clips.

    Args:
        cfg (Config): Config whose training pipeline has an :class:`AVIDSpectrogram`.
        out (str | Path, optional): File to write. Defaults to None: that of the pipeline.
        max_videos (int): Videos drawn from the list. Defaults to 10000.
        seed (int): Of the choice of videos and clips. Defaults to 0.
        workers (int, optional): Processes. Defaults to None: one per CPU core.
        timeout (float): Time limit of one video in seconds. Defaults to 60.

    Returns:
        StatisticsSummary: What was measured.

    Raises:
        ValueError: If the config has no such pipeline, or ``max_videos`` is below 1.
        RuntimeError: If no video could be heard.
    """
    if max_videos < 1:
        raise ValueError(f"max_videos must be at least 1, got {max_videos}")
    init_default_scope(cfg.get("default_scope", "mmaction"))
    pipeline = cfg.train_dataloader.dataset.pipeline
    steps = [step.to_dict() for step in pipeline if step.type in _KEPT]
    if not steps or steps[-1]["type"] != "AVIDSpectrogram":
        raise ValueError(f"{cfg.filename}: the training pipeline has no AVIDSpectrogram")
    out = out or steps[-1].get("statistics")
    if out is None:
        raise ValueError(f"{cfg.filename}: AVIDSpectrogram has no statistics: say where to write")
    for step in steps:
        step.update(
            {
                "OpenAudioVisual": dict(need_video=False),
                "DecodeAudioVisual": dict(transforms=None),
                "AVIDSpectrogram": dict(statistics=None),
            }.get(step["type"], {})
        )
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    rows = np.random.default_rng(seed).permutation(len(dataset))[:max_videos].tolist()
    videos = [(str(dataset.get_data_info(row)["filename"]), seed + row) for row in rows]
    summary = _measure(json.dumps(steps), videos, workers, timeout)
    content = dict(
        settings=TRANSFORMS.build(steps[-1]).settings,
        list=str(cfg.train_dataloader.dataset.ann_file),
        num_clips=summary.num_clips,
        mean=summary.mean.round(6).tolist(),
        std=summary.std.round(6).tolist(),
    )
    write_text(out, json.dumps(content, indent=1) + "\n")
    return summary


def _measure(
    steps: str, videos: Sequence[tuple[str, int]], workers: int | None, timeout: float
) -> StatisticsSummary:
    num_clips, num_frames, failures = 0, 0, []
    sums = np.zeros(())
    results = run_parallel(partial(_sums, steps), videos, workers, timeout, "sounds")
    # In the order of the list, so that the sums do not depend on which process was first.
    found = dict(results)
    for video in videos:
        result = found[video]
        if isinstance(result, Failure):
            failures.append(f"{video[0]}: {result.reason}")
            continue
        num_clips, num_frames = num_clips + 1, num_frames + result[0]
        sums = sums + result[1]
    if not num_clips:
        raise RuntimeError(f"none of {len(videos)} videos could be heard; the first: {failures[0]}")
    mean, mean_square = sums / num_frames
    std = np.sqrt(np.maximum(mean_square - mean**2, 0))
    return StatisticsSummary(num_clips, mean, std, failures)


@lru_cache(maxsize=1)
def _build(steps: str) -> list:
    return [TRANSFORMS.build(step) for step in json.loads(steps)]


def _sums(steps: str, video: tuple[str, int]) -> tuple[int, np.ndarray]:
    """Number of frames, and the sums of levels and of their squares `(2, bands)`."""
    filename, seed = video
    seed_all(seed)
    results: dict = dict(filename=filename)
    try:
        for transform in _build(steps):
            results = transform(results)
    finally:
        media = results.pop("media", None)
        if media is not None:
            media.close()
    levels = results["audios"].double()  # (clips, 1, bands, frames)
    sums = [power.sum(dim=(0, 1, 3)) for power in (levels, levels.square())]
    return len(levels) * levels.shape[3], np.stack(sums)
