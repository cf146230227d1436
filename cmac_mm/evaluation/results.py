"""Result files of evaluations."""

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from ..utils import read_json, write_text

_KEYS = ("benchmark", "checkpoint", "metrics")


def save_result(
    path: str | Path,
    benchmark: str,
    checkpoint: str | None,
    metrics: Mapping[str, float],
    **details: object,
) -> dict:
    """Write the result of an evaluation as JSON, under a temporary name first.

    Args:
        path (str | Path): File to write, ``*.json``; its folder is made if need be.
        benchmark (str): Data set and protocol, such as ``'ucf101-finetune'``.
        checkpoint (str, optional): Where the encoder's weights came from; None for random ones.
        metrics (Mapping[str, float]): Figures by name, as fractions of 1: ``dict(top1=0.713)``.
        **details: What one must know to trust and repeat it: config, seed, split, counts. The
            report reads ``chance`` and ``untrained``, figures by the names of ``metrics``.

    Returns:
        dict: What was written.
    """
    result = dict(
        benchmark=benchmark,
        checkpoint=checkpoint,
        metrics={name: float(value) for name, value in metrics.items()},
        **details,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    write_text(path, json.dumps(result, indent=2) + "\n")
    return result


def load_results(folder: str | Path) -> list[dict]:
    """Read all results in a folder and its sub-folders, oldest first.

    Args:
        folder (str | Path): Where the ``*.json`` files are. Other JSON files there are passed over,
            and so are MMEngine's logs, which have one JSON object a line.

    Returns:
        list[dict]: As :func:`save_result` made them, with ``path`` added.

    Raises:
        ValueError: If the folder does not exist, a file is no JSON, or a figure is no number.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder: expected one with results of evaluations")
    results = []
    for path in sorted(folder.rglob("*.json")):
        try:
            result = read_json(path)
        except ValueError:
            if _is_json(path.read_bytes().partition(b"\n")[0]):
                continue
            raise
        if isinstance(result, dict) and all(key in result for key in _KEYS):
            _check(result, path)
            results.append({**result, "path": str(path)})
    return sorted(results, key=lambda result: result.get("date", ""))


def _check(result: dict, path: Path) -> None:
    """Refuse what no evaluation has written: the report computes with it."""
    if not isinstance(result["benchmark"], str):
        raise ValueError(f"{path}: benchmark is {result['benchmark']!r}, expected a name")
    if not isinstance(result["checkpoint"], (str, type(None))):
        raise ValueError(f"{path}: checkpoint is {result['checkpoint']!r}, expected a path or null")
    figures = result["metrics"]
    if not isinstance(figures, dict):
        raise ValueError(f"{path}: metrics is {figures!r}, expected figures by name")
    places = {f"metrics.{name}": value for name, value in figures.items()}
    for part in ("chance", "untrained"):
        others = result.get(part, {})
        if not isinstance(others, dict):
            raise ValueError(f"{path}: {part} is {others!r}, expected figures by name")
        places |= {f"{part}.{name}": value for name, value in others.items()}
    for part in ("split", "fold"):
        places |= {key: result[key] for key in (part,) if result.get(key) is not None}
        entries = result.get(f"{part}s")
        for row, entry in enumerate(entries if isinstance(entries, list) else ()):
            if isinstance(entry, dict):
                places |= {
                    f"{part}s[{row}].{name}": entry[name]
                    for name in (part, *figures)
                    if name in entry
                }
    for key, value in places.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{path}: {key} is {value!r}, expected a number")


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
