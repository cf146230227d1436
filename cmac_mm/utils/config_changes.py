"""Changes of a resumed run's config since its checkpoint."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

# Where a run is and what it begins with; the logs tell.
_PLACES = ("work_dir", "resume", "load_from", "launcher", "experiment_name", "model_wrapper_cfg")
# What is part of the state in a checkpoint. Types are not, nor what stands beside `optimizer`, such
# as `clip_grad`.
_STATE = re.compile(
    r"optim_wrapper\.(.*\.)?(optimizer|paramwise_cfg|loss_scale)\b|param_scheduler\."
    r"|randomness\.seed$|auto_scale_lr\.|model\.(.*\.)?init_cfg\."
)
_SCHEDULER = re.compile(r"param_scheduler(\.\d+|\.\w+\.\d+)?(?=\.)")
_MOST_LINES = 30


def config_changes(old: str, new: str) -> list[str]:
    """Compare two configs.

    The texts are read, never run: a checkpoint may come from anywhere.

    Args:
        old (str): The checkpoint's config, as ``Config.pretty_text``.
        new (str): The present one.

    Returns:
        list[str]: A line ``key: old value -> new value (whose holds)`` for each value that differs,
        those first where the checkpoint's holds.

    Raises:
        ValueError: If a text is no config.
    """
    try:
        before, after = (_with_ends(dict(_flatten(_read(text)))) for text in (old, new))
    except SyntaxError as error:
        raise ValueError(f"text of a config cannot be read: {error}") from error
    in_both = _schedulers(before) & _schedulers(after)
    lines: dict[bool, list[str]] = {True: [], False: []}
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) == after.get(key) or key.split(".")[0] in _PLACES:
            continue
        scheduler = _SCHEDULER.match(key)
        kept = _STATE.match(key) is not None and not key.endswith(".type")
        if scheduler is not None:
            kept = kept and scheduler[0] in in_both
        values = " -> ".join(
            repr(side[key]) if key in side else "not set" for side in (before, after)
        )
        lines[kept].append(f"{key}: {values} (the {'checkpoint' if kept else 'config'}'s holds)")
    found = lines[True] + lines[False]
    more = [f"... and {len(found) - _MOST_LINES} more"] if len(found) > _MOST_LINES else []
    return found[:_MOST_LINES] + more


def _with_ends(values: dict[str, Any]) -> dict[str, Any]:
    """Add where MMEngine lets schedulers end: by default with the run, then part of their state."""
    epochs = values.get("train_cfg.max_epochs")
    for scheduler in _schedulers(values) if epochs is not None else ():
        by_epoch = values.get(f"{scheduler}.by_epoch", True)
        values.setdefault(f"{scheduler}.end", epochs if by_epoch else f"{epochs} epochs")
    return values


def _schedulers(values: dict[str, Any]) -> set[str]:
    return {found[0] for key in values if (found := _SCHEDULER.match(key))}


def _read(text: str) -> dict[str, Any]:
    """The values of a config's text; what is no literal stands as the text that it is."""
    values = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            values[statement.targets[0].id] = _value(statement.value)
    return values


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {word.arg: _value(word.value) for word in node.keywords}
    if isinstance(node, ast.Dict):
        keys = [ast.unparse(key) if key else "**" for key in node.keys]
        return dict(zip(keys, map(_value, node.values), strict=True))
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(part) for part in node.elts]
    try:
        return ast.literal_eval(node)
    except ValueError:
        return ast.unparse(node)


def _flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or (key and not value):
        yield key, value
        return
    for name, part in value.items():
        yield from _flatten(part, f"{key}.{name}" if key else str(name))
