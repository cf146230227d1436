"""Features, attention maps and class scores of any videos."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import numpy as np
import torch
from mmaction.registry import TRANSFORMS
from mmaction.structures import ActionDataSample
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from ..datasets import LogMelSpectrogram
from ..features import ClipStream, VideoResult, find_test_pipeline, stream_features
from ..features.sliding_windows import ClipFeatures
from ..models.encoder_model import EncoderModel
from ..models.layers import global_average_pool
from ..utils import read_classes
from ..visualization import overlay_video, video_figure
from .inference import init_model
from .released import get_model
from .sources import Input, Source, list_sources

DEMO_NOTE = "cmac-demo has seen drawn shapes only: this shows how things work, not what CMAC can do"
_NEEDS = {"visual": "need_video", "audio": "need_audio"}


class AudioVisualInferencer:
    """Inferencer for videos and audio files, clip by clip, like MMAction2's inferencers.

    Example:
        >>> from cmac_mm.apis import AudioVisualInferencer
        >>> inferencer = AudioVisualInferencer("cmac-demo")
        >>> (result,) = inferencer("video.mp4")
        >>> result["visual_feature"].shape, result["similarity"].shape
        ((10, 64), (10,))
        >>> inferencer.picture(result, "video.png")
        >>> inferencer.overlay(result, "video_attention.mp4")

    A video that lacks sound, or picture, gives what the other alone tells.

    Args:
        model (str | Path | Config | BaseModel): A name of :func:`list_models`, a config, its path,
            ``cmac_mm::NAME`` for one of this project, or a model from :func:`init_model`. Its test
            pipeline says how videos are read. Defaults to ``'cmac-demo'``, which is in the package
            and has seen drawn shapes only: it shows how things work, not what CMAC can do.
        weights (str | Path | None): Checkpoint, read weights-only; every weight must match. Of a
            released model the authors' file, where it has been fetched already. Defaults to None:
            random weights for a config, a model's own, a released one's download.
        device (str | torch.device | None): Where the model runs. Defaults to None: a GPU where
            there is one.
        batch_size (int): Clips at a time. Defaults to 16.
        whole_picture (bool): Show the network the whole picture in place of the crop in its middle,
            for maps that cover all of it; features differ a little from those of evaluations.
            Defaults to False.
        stages (bool): Also give pooled maps of all stages of the backbones. Defaults to False.
        labels (str | Path | None): Text file with the name of a class a line. Defaults to None:
            classes are numbered.

    Raises:
        FileNotFoundError: If config, checkpoint or label file do not exist.
        RuntimeError: If the checkpoint is refused as unsafe or does not fit the model, or a
            released one cannot be fetched.
        ValueError: If there is no model of this name, the config has no test pipeline of this
            project's transforms, or the backbones do not tell their stages.
    """

    def __init__(
        self,
        model: str | Path | Config | BaseModel = "cmac-demo",
        weights: str | Path | None = None,
        device: str | torch.device | None = None,
        batch_size: int = 16,
        whole_picture: bool = False,
        stages: bool = False,
        labels: str | Path | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.note = ""
        """What must be said beside pictures by this model."""
        if isinstance(model, BaseModel):
            if weights is not None:
                raise ValueError("weights go with a config, this model has its own")
            self.name = type(model).__name__
        elif isinstance(model, str) and _is_name(model):
            self.name = model
            self.note = DEMO_NOTE if model == "cmac-demo" else ""
            model = get_model(model, file=weights)
        else:
            config = model.filename or "config" if isinstance(model, Config) else str(model)
            checkpoint = Path(weights).name if weights else "untrained"
            self.name = f"{Path(config).stem} {checkpoint}"
            model = init_model(model, weights)
        self.device = device or get_device()
        self.model = model.to(self.device).eval()
        self.batch_size = batch_size
        self.classes = read_classes(labels) if labels is not None else None
        self.pipeline = [dict(step) for step in find_test_pipeline(model.cfg)]
        if whole_picture:
            self.pipeline = [step for step in self.pipeline if step["type"] != "CenterCrop"]
        opening = next((s for s in self.pipeline if s["type"] == "OpenAudioVisual"), {})
        known = getattr(model, "modalities", tuple(_NEEDS))
        self.modalities = tuple(m for m in known if opening.get(_NEEDS[m], True))
        self._scratch = TemporaryDirectory(prefix="cmac_mm_")
        self._stages: dict[str, Tensor] = {}
        if stages:
            self._watch_stages()

    def __call__(
        self,
        inputs: Input | Sequence[Input],
        stride: float | None = None,
        num_workers: int = 0,
        progress: bool = True,
    ) -> list[VideoResult]:
        """Run the model over videos.

        Args:
            inputs (Input | Sequence[Input]): A video, or several: a path, a folder (all media files
                in it), a pattern such as ``'videos/*.mp4'``, an ``http`` address, or arrays
                ``(frames, waveform, (fps, sample_rate))``: (T, H, W, 3) uint8, and (samples,) or
                (channels, samples) floats of full scale 1; one of them may be None.
            stride (float, optional): From clip to clip, seconds. Defaults to None: the length of a
                clip.
            num_workers (int): Processes that decode. Defaults to 0: a single one.
            progress (bool): Show a bar with the time left. Defaults to True.

        Returns:
            list[VideoResult]: One an input, in their order; those that cannot be used say so in
            ``problem``, and in a line on the standard error output.

        Raises:
            ValueError: If an input is none of these, a folder or pattern holds no file, or no video
                can be used.
        """
        found = list(self.stream(inputs, stride, num_workers, progress))
        found.sort(key=lambda result: result.index)
        failed = [result for result in found if result.problem]
        if len(failed) == len(found):
            reasons = "; ".join(f"{result.source}: {result.problem}" for result in failed[:10])
            raise ValueError(f"no video can be used: {reasons}")
        return found

    def stream(
        self,
        inputs: Input | Sequence[Input],
        stride: float | None = None,
        num_workers: int = 0,
        progress: bool = True,
    ) -> Iterator[VideoResult]:
        """Yield results one by one, for more videos than fit into memory.

        Args:
            inputs (Input | Sequence[Input]): See :meth:`__call__`.
            stride (float, optional): See :meth:`__call__`. Defaults to None.
            num_workers (int): See :meth:`__call__`. Defaults to 0.
            progress (bool): See :meth:`__call__`. Defaults to True.

        Yields:
            VideoResult: One an input, in the order in which they are done.
        """
        init_default_scope(self.model.cfg.get("default_scope", "mmaction"))
        sources = list_sources(inputs, self._new_folder(), self.modalities)
        good = [index for index, source in enumerate(sources) if not source.problem]
        stream = ClipStream(
            [sources[index].path for index in good],
            self.pipeline,
            self.modalities,
            stride=self.clip_seconds if stride is None else stride,
            batch_size=self.batch_size,
            need_all=False,
        )
        columns = (
            TextColumn("{task.completed:.1f} of {task.total} videos"),
            BarColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
            task = bar.add_task("", total=len(sources), completed=len(sources) - len(good))
            advance = partial(bar.advance, task)
            for index, source in enumerate(sources):
                if source.problem:
                    yield self._failed(index, source, source.problem)
            workers = min(num_workers, len(good))
            for found in stream_features(self._encode, stream, workers, advance):
                index = good[found.video]
                if found.problem:
                    yield self._failed(index, sources[index], found.problem)
                else:
                    yield self._result(index, sources[index], found, stream.durations)

    def picture(self, result: VideoResult, path: str | Path, **options: Any) -> None:
        """Draw a result; see :func:`cmac_mm.visualization.video_figure`.

        Args:
            result (VideoResult): A result of this model.
            path (str | Path): Picture file to write.
            **options: Of that function.
        """
        video_figure(result, path, self.spectrogram, note=self.note, **options)

    def overlay(self, result: VideoResult, path: str | Path, **options: Any) -> None:
        """Write a result as an MP4; see :func:`cmac_mm.visualization.overlay_video`.

        Args:
            result (VideoResult): A result of this model, best with a stride of half a clip or less.
            path (str | Path): File to write.
            **options: Of that function.
        """
        overlay_video(result, path, self.spectrogram, note=self.note, **options)

    @cached_property
    def spectrogram(self) -> BaseTransform:
        """Transform that makes the spectrogram to draw: the model's own, if it has audio."""
        for step in self.pipeline:
            if step["type"] in ("AVIDSpectrogram", "GDTSpectrogram", "LogMelSpectrogram"):
                return TRANSFORMS.build(step)
        return LogMelSpectrogram()

    @property
    def clip_seconds(self) -> float:
        """Length of a clip in seconds: the longer one of video and audio."""
        clip = next((s for s in self.pipeline if s["type"] == "SampleClips"), None)
        if clip is None:
            steps = [step["type"] for step in self.pipeline]
            raise ValueError(f"the test pipeline has no SampleClips; it has {steps}")
        audio = clip.get("audio_duration") or clip["duration"]
        return max(audio if name == "audio" else clip["duration"] for name in self.modalities)

    def _new_folder(self) -> Path:
        """For what is fetched and written; it goes when this inferencer goes."""
        return Path(mkdtemp(dir=self._scratch.name))

    def _failed(self, index: int, source: Source, problem: str) -> VideoResult:
        print(f"left out: {source.name}: {problem}", file=sys.stderr)
        return VideoResult(source.name, self.name, index, problem=problem)

    def _result(
        self, index: int, source: Source, found: ClipFeatures, durations: dict[str, float]
    ) -> VideoResult:
        info = found.info
        return VideoResult(
            source=source.name,
            model=self.name,
            index=index,
            path=source.path,
            duration=info["duration_second"],
            starts=info["stride_second"] * np.arange(len(info["times"])),
            clip_seconds={name: durations[name] for name in found.modalities},
            region=found.region,
            fields=found.features,
            classes=self.classes,
        )

    @torch.no_grad()
    def _encode(self, inputs: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """All that the model says of some clips, by field."""
        count = len(next(iter(inputs.values())))
        samples = [ActionDataSample() for _ in range(count)]
        data = self.model.data_preprocessor(dict(inputs=inputs, data_samples=samples), False)
        self._stages.clear()
        if isinstance(self.model, EncoderModel):
            samples = self.model.predict(**data)
        else:
            samples = self.model(**data, mode="predict")
        fields = {}
        for key in samples[0].all_keys():
            if key.endswith("_label") or not isinstance(samples[0].get(key), Tensor):
                continue
            # Clips come one a sample, so what has an axis of clips has one.
            rows = [sample.get(key).float() for sample in samples]
            rows = [row[0] if key.endswith("_attention") else row.flatten() for row in rows]
            fields["scores" if key == "pred_score" else key] = torch.stack(rows)
        if {"visual_embedding", "audio_embedding"} <= fields.keys():
            both = fields["visual_embedding"] * fields["audio_embedding"]
            fields["similarity"] = both.sum(dim=1)
        fields.update(self._stages)
        return {key: value.cpu().numpy() for key, value in fields.items()}

    def _watch_stages(self) -> None:
        """Have the backbones return the maps of all stages, which are kept as they pass."""
        for name, module in self.model.named_children():
            if "backbone" not in name:
                continue
            if not hasattr(module, "out_indices"):
                raise ValueError(f"stages=True: {type(module).__name__} does not tell its stages")
            modality = name.removesuffix("backbone").strip("_") or self.modalities[0]
            module.out_indices = tuple(range(max(module.out_indices) + 1))
            module.register_forward_hook(partial(self._keep_stages, modality))

    def _keep_stages(self, modality: str, _module: object, _inputs: object, maps: object) -> None:
        for number, x in enumerate(maps if isinstance(maps, (tuple, list)) else [maps], start=1):
            self._stages[f"{modality}_stage{number}"] = global_average_pool(x).float()


def _is_name(model: str) -> bool:
    """Whether this is a name of a released model, and not a config."""
    return not model.endswith(".py") and "::" not in model and not Path(model).exists()
