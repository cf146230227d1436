"""Loading of weights that must fit a module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.model import BaseTTAModel
from mmengine.runner.checkpoint import get_state_dict
from torch import Tensor, nn

from .checkpoint import load_checkpoint

# What DistributedDataParallel puts in front of keys, and torch.compile at any depth.
_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod)\.)+|(?<=\.)_orig_mod\.")


def list_mismatches(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """List the mismatches between weights of a file and of a module, by name and shape.

    Args:
        found (Mapping[str, Tensor]): What the file holds.
        wanted (Mapping[str, Tensor]): What a module needs; their shapes alone are read.

    Returns:
        str: What does not match, a kind a line, at most ten keys each; empty if all do.
    """
    problems = {
        "missing in the file": sorted(wanted.keys() - found.keys()),
        "unknown to the module": sorted(found.keys() - wanted.keys()),
        "of another shape": [
            f"{key} (file {tuple(found[key].shape)}, module {tuple(wanted[key].shape)})"
            for key in sorted(wanted.keys() & found.keys())
            if found[key].shape != wanted[key].shape
        ],
    }
    return "\n  ".join(
        f"{len(keys)} {what}: {', '.join(keys[:10])}{', ...' if len(keys) > 10 else ''}"
        for what, keys in problems.items()
        if keys
    )


def plain_key(key: str) -> str:
    """Remove the prefixes of DistributedDataParallel and torch.compile from a name.

    Args:
        key (str): For example ``'module._orig_mod.backbone.conv1.weight'``.

    Returns:
        str: ``'backbone.conv1.weight'``.
    """
    return _WRAPPERS.sub("", key)


def weights_of(
    checkpoint: Any, source: str | Path, keys: tuple[str, ...] = ("state_dict",)
) -> dict[str, Tensor]:
    """Get the weights of a checkpoint by their plain names.

    Args:
        checkpoint (Any): What a file holds: a state dict, by itself or inside a dict.
        source (str | Path): Name of the file, for messages.
        keys (tuple[str, ...]): Where in the dict. Defaults to ``('state_dict',)``.

    Returns:
        dict[str, Tensor]: The weights.

    Raises:
        RuntimeError: If there is no state dict, or a name is there twice.
    """
    state = checkpoint
    if isinstance(checkpoint, dict):
        inner = (checkpoint[key] for key in keys if isinstance(checkpoint.get(key), dict))
        state = next(inner, checkpoint)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        found: object = type(checkpoint).__name__
        if isinstance(checkpoint, dict):
            found = sorted(map(str, checkpoint))
        raise RuntimeError(
            f"{source}: expected a state dict, by itself or under "
            f"{' or '.join(map(repr, keys))}, found {found}"
        )
    weights = {plain_key(key): value for key, value in state.items()}
    if len(weights) < len(state):
        raise RuntimeError(f"{source}: weights are there twice, with and without 'module.'")
    return weights


def refuse_non_finite(weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Raise an error for weights that are infinite or not a number.

    Args:
        weights (Mapping[str, Tensor]): The weights.
        source (str | Path): Name of the file, for the message.

    Raises:
        RuntimeError: If there is such a value; names the first key.
    """
    bad = [key for key, value in weights.items() if not _is_finite(value)]
    if bad:
        first = weights[bad[0]]
        count = int((~first.isfinite()).sum())
        raise RuntimeError(
            f"{source}: {len(bad)} of {len(weights)} weights are infinite or not a number, the "
            f"first is {bad[0]} ({count} of its {first.numel()} values): the training that wrote "
            "them had diverged; take an earlier checkpoint"
        )


def _is_finite(value: Tensor) -> bool:
    return not (value.is_floating_point() or value.is_complex()) or bool(value.isfinite().all())


def load_weights(module: nn.Module, path: str | Path, prefix: str = "") -> None:
    """Load a module's weights from a checkpoint; every weight must be there, fit and be finite.

    What is empty in the module, such as a memory bank without a list, takes the file's size.

    Args:
        module (nn.Module): What to load into, e.g. a visual backbone.
        path (str | Path): A plain state dict, or a checkpoint with one under `state_dict`.
        prefix (str): Load only the keys that start with this, and strip it, e.g.
            'visual_backbone.' to take one encoder out of a pretrained model. Defaults to ''.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file cannot be read, no key has the prefix, keys or shapes do not match
            the module's (lists what does not), or a weight is infinite or not a number.
    """
    put_weights(module, weights_of(load_checkpoint(path), path), path, prefix)


def put_weights(
    module: nn.Module, weights: Mapping[str, Tensor], source: str | Path, prefix: str = ""
) -> None:
    """Load weights that were read already, see :func:`load_weights`.

    Args:
        module (nn.Module): What to load into.
        weights (Mapping[str, Tensor]): What :func:`weights_of` gives.
        source (str | Path): Name of the file, for messages.
        prefix (str): See :func:`load_weights`. Defaults to ''.

    Raises:
        RuntimeError: See :func:`load_weights`.
    """
    chosen = {
        key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)
    }
    if not chosen:
        heads = sorted({key.split(".")[0] for key in weights})
        raise RuntimeError(f"{source}: no key starts with {prefix!r}; keys start with {heads}")
    own = {plain_key(key): (key, value) for key, value in module.state_dict().items()}
    wanted = {
        key: chosen.get(key, value) if value.numel() == 0 else value
        for key, (_, value) in own.items()
    }
    problems = list_mismatches(chosen, wanted)
    if problems:
        raise RuntimeError(f"{source} does not match {type(module).__name__}:\n  {problems}")
    refuse_non_finite(chosen, source)
    try:
        module.load_state_dict({own[key][0]: value for key, value in chosen.items()})
    except RuntimeError as error:
        raise RuntimeError(f"{source}: {error}") from error


def fit_weights(module: nn.Module, checkpoint: Any, source: str | Path) -> dict[str, Tensor]:
    """Match weights of a checkpoint to a module's names, where a part may be loaded.

    Another head, or more or fewer layers than in the file are in order; weights of another kind of
    model, of which next to none would be loaded, are not.

    Args:
        module (nn.Module): What they will be loaded into.
        checkpoint (Any): What the file holds.
        source (str | Path): Name of the file, for messages.

    Returns:
        dict[str, Tensor]: All weights of the file.

    Raises:
        RuntimeError: If the file holds less than half of the weights of each backbone, or for a
            module without backbone none; or if one that is taken is infinite or not a number.
    """
    if isinstance(module, BaseTTAModel):
        module = module.module
    weights = weights_of(checkpoint, source)
    own = {plain_key(key): (key, value) for key, value in get_state_dict(module).items()}
    wanted = {key: value for key, (_, value) in own.items()}
    backbones = sorted({head for key in own if "backbone" in (head := key.split(".")[0])})
    parts = {name: [key for key in own if key.startswith(f"{name}.")] for name in backbones}
    if parts:
        fits = any(2 * _fitting(weights, wanted, keys) >= len(keys) for keys in parts.values())
    else:
        fits = not own or _fitting(weights, wanted, list(own)) > 0
    if not fits:
        raise RuntimeError(_describe_misfit(module, source, weights, wanted, parts))
    taken = {key: weights[key] for key in wanted if key in weights and _is_finite(wanted[key])}
    refuse_non_finite(taken, source)
    return {own[key][0] if key in own else key: value for key, value in weights.items()}


def _fitting(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], keys: list[str], prefix: str = ""
) -> int:
    """How many of the wanted weights the file holds under a prefix in place of the part's name."""
    found = ((weights.get(prefix + key), wanted[key]) for key in keys)
    return sum(a is not None and a.shape == b.shape for a, b in found)


def _describe_misfit(
    module: nn.Module,
    source: str | Path,
    weights: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    parts: Mapping[str, list[str]],
) -> str:
    """What does not fit, and what to write instead where an encoder is there by another name."""
    held = ", ".join(
        f"{_fitting(weights, wanted, keys)} of the {len(keys)} weights of {name}"
        for name, keys in (parts or {type(module).__name__: list(wanted)}).items()
    )
    message = f"{source} does not fit {type(module).__name__}: it holds {held}, which would train "
    message += "from random values. load_from takes a checkpoint of such a model. "
    for name, keys in parts.items():
        rest = {key.removeprefix(f"{name}."): wanted[key] for key in keys}
        first = next(iter(rest))
        prefixes = {key.removesuffix(first) for key in weights if key.endswith(first)}
        counts = {prefix: _fitting(weights, rest, list(rest), prefix) for prefix in prefixes}
        best = max(sorted(counts), key=counts.__getitem__, default=None)
        if best is not None and 2 * counts[best] >= len(keys):
            return message + (
                f"Its weights under {best!r} fit {name}: to start from them, write in place of "
                f"load_from model.{name}.init_cfg=dict(type='PretrainedEncoder', "
                f"checkpoint={str(source)!r}, prefix={best!r}), with --cfg-options: "
                f"load_from=None model.{name}.init_cfg.type=PretrainedEncoder "
                f"model.{name}.init_cfg.checkpoint={source} model.{name}.init_cfg.prefix={best}"
            )
    return message + f"What differs:\n  {list_mismatches(weights, wanted)}"
