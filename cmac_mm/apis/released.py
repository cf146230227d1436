"""Released encoders by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope

from ..utils import load_checkpoint, load_config, put_weights, weights_of
from ..utils.lock import only_one
from ..version import __version__
from ..zoo import (
    FORMATS,
    AudioInput,
    Entry,
    VisualInput,
    convert_checkpoint,
    describe_inputs,
    find_entry,
    list_models,
    one_encoder,
    place_statistics,
    read_released,
)
from ..zoo.fetch import file_sha256


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Description of a released model: input, embeddings, source and licence.

    Attributes:
        name (str): Its name.
        method (str): What it was pretrained with.
        pretraining (str): The data that it was pretrained on.
        labels (bool): Whether with labels.
        licence (str): Of the weights, and of what is made of them.
        commercial_use (bool): Whether that allows commercial use.
        source (str): Where it comes from.
        visual (VisualInput | None): Video encoder and its front end; None if there is none.
        audio (AudioInput | None): Audio encoder and its front end; None if there is none.
    """

    name: str
    method: str
    pretraining: str
    labels: bool
    licence: str
    commercial_use: bool
    source: str
    visual: VisualInput | None
    audio: AudioInput | None


def get_model(
    name: str,
    modality: str | None = None,
    file: str | Path | None = None,
    device: str | torch.device = "cpu",
) -> BaseModel:
    """Build a released model with its weights, downloading them if needed.

    Example:
        >>> from cmac_mm.apis import get_model, inference
        >>> model = get_model("avid-cma_audioset")
        >>> model.info.audio.spectrogram["type"]
        'AVIDSpectrogram'
        >>> result = inference(model, "video.mp4")
        >>> result.visual_embedding @ result.audio_embedding
        >>> encoder = get_model("avid-cma_audioset", modality="audio")  # that one alone

    Args:
        name (str): One of :func:`list_models`.
        modality (str, optional): ``'visual'`` or ``'audio'``: this encoder alone, a
            :class:`FeatureExtractor`. Defaults to None: all there is.
        file (str | Path, optional): The authors' file, where it has been fetched already. Defaults
            to None: it is downloaded into torch.hub's folder.
        device (str | torch.device): Where the model runs. Defaults to 'cpu'.

    Returns:
        BaseModel: The model in eval mode. ``model.info`` (:class:`ModelInfo`) says what it takes,
        ``model.cfg`` has the pipeline that :func:`inference` reads a video with.

    Raises:
        ValueError: If there is no such model, or it has no such encoder.
        FileNotFoundError: If ``file`` does not exist.
        RuntimeError: If the file cannot be fetched, is another one than expected, is refused as
            unsafe or does not fit.
    """
    if modality not in (None, "visual", "audio"):
        raise ValueError(f"modality must be 'visual' or 'audio', got {modality!r}")
    entry = find_entry(name)
    path = entry.fetch() if file is None else Path(file)
    cfg = load_config(config_of(entry))
    place_statistics(cfg, path, fetch=file is None and modality != "visual")
    if entry.format is None:
        weights = weights_of(load_checkpoint(path), path)
    else:
        weights = read_released(path, entry.format, cfg)[-1]
    inputs = describe_inputs(cfg)
    if modality is not None and modality not in inputs:
        raise ValueError(f"{name} has no {modality} encoder, only {', '.join(inputs)}")
    init_default_scope("mmaction")
    if modality is not None or len(inputs) == 1:
        modality = modality or next(iter(inputs))
        inputs = {modality: inputs[modality]}
        cfg = one_encoder(cfg, modality)
        model = MODELS.build(cfg.model)
        put_weights(model.backbone, weights, path, f"{modality}_backbone.")
    else:
        model = MODELS.build(cfg.model)
        put_weights(model, weights, path)
    layout = FORMATS[entry.format] if entry.format else None
    visual, audio = inputs.get("visual"), inputs.get("audio")
    model.cfg = cfg
    model.info = ModelInfo(
        name=name,
        method=entry.method,
        pretraining=entry.pretraining,
        labels=entry.labels,
        licence=layout.licence if layout else str(entry.licence),
        commercial_use=layout.commercial_use if layout else True,
        source=layout.source if layout else str(entry.config),
        visual=visual if isinstance(visual, VisualInput) else None,
        audio=audio if isinstance(audio, AudioInput) else None,
    )
    _tell_licence(model.info.source, model.info.licence)
    return model.to(device).eval()


def released_checkpoint(name: str) -> Path:
    """Convert a released model to a checkpoint of this project, for tools and configs.

    It is downloaded if need be, and converted the first time.

    Args:
        name (str): One of :func:`list_models`.

    Returns:
        Path: The file, in torch.hub's folder.

    Raises:
        ValueError: If there is no such model.
        RuntimeError: If the file cannot be fetched or does not fit.
    """
    entry = find_entry(name)
    path = entry.fetch()
    if entry.format is None:
        return path
    folder = Path(torch.hub.get_dir(), "checkpoints", f"cmac_mm-{__version__}")
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{name}-{file_sha256(path)[:8]}.pth"
    with only_one(out):
        if not out.is_file():
            convert_checkpoint(path, out, entry.format)
    _tell_licence(FORMATS[entry.format].source, FORMATS[entry.format].licence)
    return out


def models_table(pattern: str = "*") -> str:
    """Format the released models as a Markdown table.

    Args:
        pattern (str): See :func:`list_models`. Defaults to ``'*'``: all.

    Returns:
        str: The table, with the authors' figures.
    """
    head = ["name", "method", "pretrained on", "picture", "sound", "embedding", "UCF101", "HMDB51"]
    head += ["Kinetics probe", "licence"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * 5}---:|---:|---:|---:|---|"]
    for name in list_models(pattern):
        entry = find_entry(name)
        cfg = load_config(config_of(entry))
        inputs = describe_inputs(cfg)
        figures = [entry.published.get(k, "") for k in ("ucf101", "hmdb51", "kinetics_probe")]
        visual, audio = inputs.get("visual"), inputs.get("audio")
        cells = [
            f"`{name}`",
            entry.method,
            entry.pretraining + (", with labels" if entry.labels else ""),
            _picture(visual) if isinstance(visual, VisualInput) else "",
            _sound(audio) if isinstance(audio, AudioInput) else "",
            _embedding(cfg),
            *figures,
            FORMATS[entry.format].licence if entry.format else entry.licence,
        ]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _embedding(cfg: Config) -> int | str:
    """Length of the embeddings; nothing where there are none."""
    if "head" in cfg.model:
        with torch.device("meta"):
            return MODELS.build(cfg.model).head.embed_channels
    return (cfg.model.get("projection") or {}).get("out_channels", "")


def _picture(found: VisualInput) -> str:
    backbone = found.backbone
    variant = f" ({backbone['variant']})" if "variant" in backbone else ""
    clip = f"{found.frames}x{found.size}x{found.size}, {found.fps:g} fps"
    return f"{backbone['type']}{variant}, {clip}, {found.pooling}"


def _sound(found: AudioInput) -> str:
    depth = f"-{found.backbone['depth']}" if "depth" in found.backbone else ""
    front_end = f"{found.duration:g} s, {found.spectrogram['type']}"
    return f"{found.backbone['type']}{depth}, {front_end}, {found.pooling}"


def config_of(entry: Entry) -> str:
    """Name the config of a released model, ``cmac_mm::NAME``."""
    return str(entry.config) if entry.format is None else FORMATS[entry.format].config


@cache
def _tell_licence(source: str, licence: str) -> None:
    """Say it once a process."""
    print_log(f"licence of the weights of {source}: {licence}", logger="current")
