"""Conversion of other projects' checkpoints."""

import io
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import Tensor

from ..utils import (
    list_mismatches,
    load_checkpoint,
    load_config,
    refuse_non_finite,
    weights_of,
    write_bytes,
    write_checkpoint,
)
from .avid_statistics import copy_statistics
from .fetch import file_sha256
from .formats import FORMATS, HARMLESS_CLASSES, Format, recognise
from .inputs import describe_inputs


def read_released(
    path: str | Path, format: str = "auto", cfg: Config | None = None
) -> tuple[str, Config, dict[str, Tensor]]:
    """Read another project's checkpoint, weights-only.

    Args:
        path (str | Path): The file; its keys may begin with ``module.``.
        format (str): Whose layout it has: a key of ``FORMATS``, or ``'auto'``: see
            :func:`recognise`. Defaults to ``'auto'``.
        cfg (Config, optional): Config whose model takes the weights. Defaults to None: that of the
            format.

    Returns:
        tuple[str, Config, dict[str, Tensor]]: The format; the config; and the weights, by our names
        ``visual_backbone.*``, ``audio_backbone.*`` and ``projections.*``.

    Raises:
        ValueError: If the format is unknown.
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is no checkpoint of this format: lists keys that are missing,
            unknown or of another shape; or if a weight is infinite or not a number.
    """
    if format != "auto" and format not in FORMATS:
        raise ValueError(f"unknown format {format!r}: expected auto, {', '.join(FORMATS)}")
    with torch.serialization.safe_globals(list(HARMLESS_CLASSES)):
        content = load_checkpoint(path)
    found = weights_of(content, path, ("model", "state_dict"))
    name = recognise(found, path) if format == "auto" else format
    cfg = load_config(FORMATS[name].config) if cfg is None else cfg
    weights = _rename(found, FORMATS[name])
    problems = list_mismatches(weights, _expected(cfg))
    if problems:
        raise RuntimeError(f"{path} is no checkpoint of {name}:\n  {problems}")
    refuse_non_finite(weights, path)
    return name, cfg, weights


def _rename(found: dict[str, Tensor], layout: Format) -> dict[str, Tensor]:
    weights = {}
    for key, value in found.items():
        if re.match(layout.dropped, key):
            continue
        prefix = next((prefix for prefix in layout.prefixes if key.startswith(prefix)), None)
        name = key if prefix is None else layout.prefixes[prefix] + key.removeprefix(prefix)
        weights[name] = value.contiguous()
    return weights


def _expected(cfg: Config) -> dict[str, Tensor]:
    """Keys of the converted file, with tensors that have a shape and no content."""
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    weights = model.state_dict()
    if cfg.model.type == "FeatureExtractor":
        weights = {f"{cfg.model.modality}_{key}": value for key, value in weights.items()}
    return weights


def convert_checkpoint(path: str | Path, out: str | Path, format: str = "auto") -> dict:
    """Convert another project's checkpoint to ours.

    Optimizers, memory banks, cluster heads and cluster labels are left behind. The file is read
    weights-only. Statistics of AVID's spectrograms beside the file come along, see
    :func:`find_statistics`.

    Args:
        path (str | Path): The file.
        out (str | Path): File to write, ``*.pth`` or ``*.safetensors``: ``state_dict``, and
            ``meta`` with where the weights come from, the config of their model, what each encoder
            takes, and the licence.
        format (str): See :func:`read_released`. Defaults to ``'auto'``.

    Returns:
        dict: ``meta``, and the number of keys of each part under ``num_keys``.

    Raises:
        ValueError: If the format is unknown, or ``out`` is ``path``.
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file is no checkpoint of this format.
    """
    path, out = Path(path), Path(out)
    _refuse_same(path, out)
    name, cfg, weights = read_released(path, format)
    layout = FORMATS[name]
    meta = dict(
        format=name,
        source=layout.source,
        licence=layout.licence,
        commercial_use=layout.commercial_use,
        file=path.name,
        sha256=file_sha256(path),
        config=layout.config,
        inputs={key: asdict(value) for key, value in describe_inputs(cfg).items()},
    )
    write_checkpoint(out, weights, meta)
    if name == "avid":
        copy_statistics(path.parent, out.parent)
    return dict(meta, num_keys=dict(Counter(key.split(".")[0] for key in weights)))


def export_to_torchvision(path: str | Path, out: str | Path) -> int:
    """Write the video encoder of a checkpoint of ours as a plain state dict of torchvision's names.

    ``torchvision.models.video.r2plus1d_18`` takes it, all but its ``fc``, with ``strict=False``.
    The weights are the same to the last bit, also after :func:`convert_checkpoint` has taken them
    back.

    Args:
        path (str | Path): The checkpoint, with ``visual_backbone.*``, or ``backbone.*`` of a
            fine-tuned recogniser.
        out (str | Path): File to write, ``*.pth`` or ``*.safetensors``.

    Returns:
        int: Number of weights and buffers.

    Raises:
        ValueError: If ``out`` is ``path``.
        RuntimeError: If the checkpoint has no such encoder, or one whose layout is not
            torchvision's; lists what differs.
    """
    path, out = Path(path), Path(out)
    _refuse_same(path, out)
    found = weights_of(load_checkpoint(path), path)
    for prefix in ("visual_backbone.", "backbone."):
        weights = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
        if weights:
            break
    wanted = _expected(load_config(FORMATS["torchvision"].config))
    wanted = {key.removeprefix("visual_backbone."): value for key, value in wanted.items()}
    if problems := list_mismatches(weights, wanted):
        raise RuntimeError(f"the video encoder of {path} is not torchvision's:\n  {problems}")
    if out.suffix == ".safetensors":
        write_checkpoint(out, weights, {})
    else:
        content = io.BytesIO()
        torch.save(weights, content)
        write_bytes(out, content.getbuffer())
    return len(weights)


def _refuse_same(path: Path, out: Path) -> None:
    if out.exists() and out.samefile(path):
        raise ValueError(f"{out} would overwrite the file that it is made from")
