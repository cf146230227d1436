"""Clip features along a video, for temporal localisers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ..datasets import MediaError
from ..datasets.av_reader import NoStreamError
from ..datasets.guarded import Guard, ProcessLost
from ..datasets.pipelines import is_for
from ..models.feature_extractor import extractor_config

# For one batch of clips, in seconds; longer is a hanging decoder or storage.
_TIME_LIMIT = 300.0
_ROUNDING = 1e-6
_INPUTS = {"visual": "imgs", "audio": "audio"}
_WHOLE = (0.0, 0.0, 1.0, 1.0)


def clip_starts(total: float, duration: float, stride: float) -> np.ndarray:
    """Compute the starts of sliding clips: 0 and every stride, as long as a clip fits.

    A video that is shorter than a clip has one, which begins at 0; what it lacks is the last
    picture, held, and silence.

    Args:
        total (float): Length of the video, seconds.
        duration (float): Length of a clip, seconds.
        stride (float): From clip to clip, seconds.

    Returns:
        np.ndarray: Seconds, (T,), at least one.
    """
    last = max(0, int(np.floor((total - duration) / stride + _ROUNDING)))
    return stride * np.arange(last + 1)


@dataclass
class ClipBatch:
    """Consecutive clips of a video, or the reason why there are none.

    Attributes:
        video (int): Number of the video.
        inputs (dict[str, Tensor]): ``imgs`` (B, 3, T, H, W) uint8, ``audio``
            (B, 1, num_mels, frames).
        region (tuple[float, ...]): Left, top, width and height of what the network sees of the
            picture, as fractions of it.
        info (dict): ``duration_second``, ``duration_frame`` and ``fps`` (None where only sound is
            read), ``stride_second``, ``times`` (centre of each of all clips of the video, seconds).
        last (bool): Whether these are the video's last clips.
        problem (str): Why the video cannot be used; empty: it can.
    """

    video: int
    inputs: dict[str, Tensor] = field(default_factory=dict)
    info: dict = field(default_factory=dict)
    region: tuple[float, ...] = _WHOLE
    last: bool = True
    problem: str = ""


class ClipStream(IterableDataset):
    """Sliding clips of videos, a few at a time, for videos of any length.

    The clips are those of a test pipeline of this project (``OpenAudioVisual``, ``SampleClips``,
    ``DecodeAudioVisual``, ...), but for the places where they begin: see :func:`clip_starts`.
    Workers of a DataLoader (``batch_size=None``) read different videos. A video that cannot be
    read, or whose decoder hangs or crashes, gives a :class:`ClipBatch` that says so.

    Args:
        paths (Sequence[str]): The videos.
        pipeline (Sequence[dict]): Config of the transforms.
        modalities (Sequence[str]): ``'visual'``, ``'audio'`` or both: what is read.
        stride (float, optional): From clip to clip, seconds. Defaults to None: ``stride_frames``.
        stride_frames (int, optional): The same, frames of the video's own. Defaults to None.
        batch_size (int): Clips at a time. Defaults to 16.
        need_all (bool): Refuse videos that lack one of the modalities; otherwise the other is read
            alone. Defaults to True.

    Raises:
        ValueError: If the pipeline lacks one of the transforms, there is not exactly one positive
            stride, or it is in frames where only sound is read.
    """

    def __init__(
        self,
        paths: Sequence[str],
        pipeline: Sequence[dict],
        modalities: Sequence[str] = ("visual",),
        stride: float | None = None,
        stride_frames: int | None = None,
        batch_size: int = 16,
        need_all: bool = True,
    ) -> None:
        strides = [value for value in (stride, stride_frames) if value is not None]
        if len(strides) != 1 or strides[0] <= 0:
            raise ValueError(
                f"expected one positive stride, got stride={stride}, stride_frames={stride_frames}"
            )
        if stride_frames is not None and "visual" not in modalities:
            raise ValueError("a stride in frames needs the picture: give it in seconds for sound")
        self.paths = list(paths)
        self.stride = stride
        self.stride_frames = stride_frames
        self.batch_size = batch_size
        steps = {step["type"]: step for step in pipeline}
        for name in ("OpenAudioVisual", "SampleClips", "DecodeAudioVisual", "PackAudioVisual"):
            if name not in steps:
                raise ValueError(f"the test pipeline has no {name}; it has {list(steps)}")
        clip = steps["SampleClips"]
        durations = dict(
            visual=clip["duration"], audio=clip.get("audio_duration") or clip["duration"]
        )
        self.durations = {key: durations[key] for key in durations if key in modalities}
        self.need_all = need_all
        self._opening = steps["OpenAudioVisual"]
        self._steps = [
            (step["type"], TRANSFORMS.build(step))
            for step in pipeline
            if step["type"] not in ("OpenAudioVisual", "SampleClips")
        ]
        self._guard = Guard(_TIME_LIMIT) if sys.platform == "linux" else None

    def __iter__(self) -> Iterator[ClipBatch]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for video in range(first, len(self.paths), step):
            begin, last = 0, False
            while not last:
                batch = self._try(video, begin)
                begin, last = begin + self.batch_size, batch.last
                yield batch

    def _try(self, video: int, begin: int) -> ClipBatch:
        try:
            if self._guard is None:
                return self._read((video, begin))
            return self._guard(self._read, (video, begin))
        except MediaError as error:
            return ClipBatch(video, problem=error.reason)
        except ProcessLost as error:
            return ClipBatch(video, problem=f"the loading process {error}")

    def _read(self, place: tuple[int, int]) -> ClipBatch:
        """Read the clips of a video from a given one on."""
        video, begin = place
        results, durations = self._open(video)
        media, total = results["media"], results["total_duration"]
        try:
            info = dict(duration_second=total, duration_frame=None, fps=None)
            if media.video is not None:
                rate = media.video.average_rate
                if not rate:
                    raise media.error("its frame rate is not known")
                frames = media.video.frames or max(1, round(total * float(rate)))
                info.update(duration_frame=frames, fps=float(rate))
            stride = self.stride or self.stride_frames / info["fps"]
            starts = clip_starts(total, max(durations.values()), stride)
            # Picture and sound begin together; where the picture is, is where things happen.
            lengths = [*durations.values()]
            centre = min(lengths[0], total) / 2
            info.update(stride_second=stride, times=(starts + centre).tolist())
            chosen = starts[begin : begin + self.batch_size].tolist()
            results.update(
                clip_start=chosen,
                audio_start=list(chosen),
                clip_duration=lengths[0],
                audio_duration=lengths[-1],
            )
            for name, step in self._steps:
                if is_for(name, durations):
                    results = step(results)
        finally:
            media.close()
        inputs = results["inputs"]
        if len(chosen) == 1:
            inputs = {key: value[None] for key, value in inputs.items()}
        crop = results["data_samples"].get("crop_quadruple", _WHOLE)
        region = tuple(np.asarray(crop, np.float64).reshape(-1, 4)[0].tolist())
        return ClipBatch(video, inputs, info, region, begin + len(chosen) == len(starts))

    def _open(self, video: int) -> tuple[dict, dict[str, float]]:
        """Open a video; the lengths of its clips tell which modalities are read."""
        durations = dict(self.durations)
        while True:
            opening = TRANSFORMS.build(
                {
                    **self._opening,
                    "need_video": "visual" in durations,
                    "need_audio": "audio" in durations,
                }
            )
            try:
                return opening(dict(filename=self.paths[video], sample_idx=video)), durations
            except NoStreamError as error:
                if self.need_all or len(durations) == 1:
                    raise
                del durations[{"video": "visual"}.get(error.kind, error.kind)]


@dataclass
class ClipFeatures:
    """Features of one video.

    Attributes:
        video (int): Its number.
        features (dict[str, np.ndarray]): By name, (T, ...) each; empty if the video cannot be used.
        info (dict): As :class:`ClipBatch` has it.
        modalities (list[str]): What was read: ``'visual'``, ``'audio'`` or both.
        region (tuple[float, ...]): As :class:`ClipBatch` has it.
        problem (str): Why the video cannot be used; empty: it can.
    """

    video: int
    features: dict[str, np.ndarray] = field(default_factory=dict)
    info: dict = field(default_factory=dict)
    modalities: list[str] = field(default_factory=list)
    region: tuple[float, ...] = _WHOLE
    problem: str = ""


def stream_features(
    encode: Callable[[dict[str, Tensor]], dict[str, np.ndarray]],
    stream: ClipStream,
    num_workers: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Iterator[ClipFeatures]:
    """Yield the features of all videos of a stream, in the order in which they end.

    Args:
        encode (Callable): Makes of the inputs of B clips what is kept of them, by name, (B, ...)
            each.
        stream (ClipStream): The clips.
        num_workers (int): Processes that decode. Defaults to 0: this one.
        progress (Callable, optional): Called with what part of a video (0 to 1) is newly done.
            Defaults to None.

    Yields:
        ClipFeatures: One a video.
    """
    loader = DataLoader(stream, batch_size=None, num_workers=num_workers)
    parts: dict[int, list[dict[str, np.ndarray]]] = {}
    shares: dict[int, float] = {}
    for batch in loader:
        mine = parts.setdefault(batch.video, [])
        share = 1 - shares.get(batch.video, 0.0)
        if not batch.problem:
            mine.append(encode(batch.inputs))
            share = len(next(iter(batch.inputs.values()))) / len(batch.info["times"])
            shares[batch.video] = shares.get(batch.video, 0.0) + share
        if progress is not None:
            progress(share)
        if not batch.last:
            continue
        del parts[batch.video]
        if batch.problem:
            yield ClipFeatures(batch.video, problem=batch.problem)
            continue
        features = {key: np.concatenate([part[key] for part in mine]) for key in mine[0]}
        if all(np.isfinite(values).all() for values in features.values()):
            modalities = [name for name, key in _INPUTS.items() if key in batch.inputs]
            yield ClipFeatures(batch.video, features, batch.info, modalities, batch.region)
        else:
            yield ClipFeatures(batch.video, problem="its features are not finite")


def encode_clips(
    encoders: Mapping[str, BaseModel], inputs: dict[str, Tensor]
) -> dict[str, np.ndarray]:
    """Run encoders over clips.

    Args:
        encoders (Mapping[str, BaseModel]): :class:`FeatureExtractor` by modality, on their device,
            in eval mode.
        inputs (dict[str, Tensor]): The clips.

    Returns:
        dict[str, np.ndarray]: ``feature`` (B, C) float32, those of several encoders side by side.
    """
    found = []
    with torch.no_grad():
        for encoder in encoders.values():
            data = encoder.data_preprocessor(dict(inputs=inputs), False)
            found.append(encoder(data["inputs"], mode="tensor").cpu())
    return dict(feature=torch.cat(found, dim=1).numpy())


def build_encoder(
    cfg: Config, checkpoint: str | Path, modality: str, prefix: str | None = None
) -> BaseModel:
    """Build one encoder of a config with the weights of a checkpoint.

    Args:
        cfg (Config): A pretraining config, whose model has ``visual_backbone`` and
            ``audio_backbone``, or one of ``configs/retrieval``, whose model has ``backbone``.
        checkpoint (str | Path): File with the weights; every weight of the encoder must match.
        modality (str): ``'visual'`` or ``'audio'``.
        prefix (str, optional): See :meth:`FeatureExtractor.load_encoder`. Defaults to None.

    Returns:
        BaseModel: A :class:`FeatureExtractor` in eval mode.

    Raises:
        ValueError: If the config has no such encoder.
        RuntimeError: If the weights do not match.
    """
    encoder = MODELS.build(extractor_config(cfg, modality, pooling="avg"))
    encoder.load_encoder(checkpoint, prefix)
    return encoder.eval()


def find_test_pipeline(cfg: Config) -> list[dict]:
    """Find the test pipeline of a config, through wrappers (of retrieval: the queries').

    Args:
        cfg (Config): The config.

    Returns:
        list[dict]: Their configs.

    Raises:
        ValueError: If it has none.
    """
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    while dataset and not dataset.get("pipeline"):
        inner = dataset.get("datasets") or [{}]
        dataset = dataset.get("query") or dataset.get("dataset") or inner[0]
    if not dataset:
        raise ValueError(
            f"{cfg.filename or 'the config'} has no test_dataloader.dataset.pipeline, which says "
            "how a video is read: add test_dataloader=dict(dataset=dict(pipeline=[...])), as "
            "configs/_base_/datasets/cmac_32x128.py has it"
        )
    return list(dataset["pipeline"])
