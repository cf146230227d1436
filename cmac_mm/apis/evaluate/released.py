"""Benchmarks of released encoders, with the input that they were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mmengine.config import Config

from ...datasets.pipelines import SOUND_STEPS
from ...utils import config_path, load_checkpoint, load_config, write_text
from ...utils.config import PREFIX
from ...utils.lock import only_one
from ...zoo import AudioInput, VisualInput, describe_inputs, find_statistics, list_models
from ...zoo.inputs import plain
from ..released import released_checkpoint
from .options import Options

_HEADS = {"avg": "I3DHead", "max": "MaxPoolHead"}


def fit_to_encoder(options: Options) -> Options:
    """Find the file of a released model, and adapt the benchmark's config to it.

    That is the network, mean and deviation, pooling, and for sound the front end, as the converted
    file's ``meta`` has them. Number, length and size of the clips are the benchmark's protocol and
    stay. Where something must be set, a config that does so and inherits the rest is written to
    ``WORK_DIR/fitted``.

    Args:
        options (Options): The benchmark; its checkpoint may be a name of :func:`list_models`.

    Returns:
        Options: With the path of the file, and of the config that was written.

    Raises:
        ValueError: If the benchmark is for another modality than the file's encoders.
        RuntimeError: If the file cannot be fetched or converted.
    """
    checkpoint = options.checkpoint
    if checkpoint is None:
        return options
    named = not Path(checkpoint).exists() and checkpoint in list_models()
    if named:
        checkpoint = str(released_checkpoint(checkpoint))
        options = replace(options, checkpoint=checkpoint)
    if not Path(checkpoint).is_file():
        return options  # who opens it says so
    content = load_checkpoint(checkpoint)
    meta = content.get("meta") if isinstance(content, dict) else None
    if not isinstance(meta, dict) or not {"format", "config"} <= meta.keys():
        return options
    cfg = options.load_config(())
    modality = _modality(cfg)
    found = describe_inputs(load_config(meta["config"])).get(modality)
    if found is None:
        raise ValueError(
            f"{options.config} judges an encoder of modality {modality}, {checkpoint} has none"
        )
    if isinstance(found, VisualInput):
        model, others = _fit_picture(cfg, found)
    else:
        if found.spectrogram["type"] == "AVIDSpectrogram":
            statistics = find_statistics(Path(checkpoint).parent, fetch=named)
            found.spectrogram["statistics"] = str(statistics)
        model, others = _fit_sound(cfg, found)
    if not model and not others:
        return options
    base = options.config
    base = config_path(base.removeprefix(PREFIX)) if base.startswith(PREFIX) else base
    path = options.folder / "fitted" / Path(base).name
    lines = [
        f"# As {Path(checkpoint).name} sees and hears.",
        f"_base_ = {[str(Path(base).resolve())]!r}",
        *(f"{key} = {value!r}" for key, value in {"model": model, **others}.items() if value),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with only_one(path):  # ranks that somebody else has started come here all
        write_text(path, "\n".join(lines) + "\n")
    return replace(options, config=str(path), work_dir=options.folder)


def _modality(cfg: Config) -> str:
    """Whose encoder a benchmark judges."""
    if "modality" in cfg.model:
        return cfg.model.modality
    prefix = cfg.model.backbone.get("init_cfg", {}).get("prefix", "visual_backbone.")
    return "audio" if prefix.startswith("audio") else "visual"


def _fit_picture(cfg: Config, found: VisualInput) -> tuple[dict, dict]:
    """What the model must say, and nothing else."""
    model = cfg.model
    changes = _fit_pooling(model, found.pooling)
    if model.backbone.get("variant", "torchvision") != found.backbone["variant"]:
        changes["backbone"] = dict(variant=found.backbone["variant"])
    preprocessor = dict(mean=found.mean, std=found.std)
    if any(list(model.data_preprocessor.get(key, [])) != preprocessor[key] for key in preprocessor):
        changes["data_preprocessor"] = preprocessor
    if model.get("cls_head", {}).get("type") in set(_HEADS.values()) - {_HEADS[found.pooling]}:
        changes["cls_head"] = dict(type=_HEADS[found.pooling])
    return changes, {}


def _fit_sound(cfg: Config, found: AudioInput) -> tuple[dict, dict]:
    """What the model must say, and what the loaders."""
    model = cfg.model
    changes = _fit_pooling(model, found.pooling)
    backbone = dict(model.backbone)
    kept = {"init_cfg": backbone.pop("init_cfg")} if "init_cfg" in backbone else {}
    if backbone != found.backbone:
        changes["backbone"] = dict(_delete_=True, **found.backbone, **plain(kept))
    preprocessor = dict(audio_mean=found.mean, audio_std=found.std)
    if any(model.data_preprocessor.get(key) != preprocessor[key] for key in preprocessor):
        changes["data_preprocessor"] = preprocessor
    loaders = {}
    for loader in ("train_dataloader", "test_dataloader"):
        old = plain((cfg.get(loader) or {}).get("dataset", {}).get("pipeline", []))
        new = [_fit_front_end(step, found.spectrogram) for step in old]
        if new != old:
            loaders[loader] = dict(dataset=dict(pipeline=new))
    return changes, loaders


def _fit_front_end(step: Mapping, wanted: dict) -> Mapping:
    """The encoder's front end in place of another one; a config's own statistics may stand in."""
    if step["type"] not in SOUND_STEPS or not step["type"].endswith("Spectrogram"):
        return step
    lacking = "statistics" in wanted and not Path(wanted["statistics"]).is_file()
    return step if lacking and step["type"] == wanted["type"] else wanted


def _fit_pooling(model: Mapping, pooling: str) -> dict:
    """Exchange one global pooling for the other; what else a protocol asks for stays."""
    return dict(pooling=pooling) if model.get("pooling") in {"avg", "max"} - {pooling} else {}
