"""Packaging of a run's checkpoint for others, with a model card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..utils import (
    load_checkpoint,
    load_config,
    refuse_non_finite,
    weights_of,
    write_checkpoint,
    write_text,
)
from ..version import __version__
from .fetch import file_sha256

_KEPT = ("epoch", "iter", "seed", "training_list")


def package_model(
    config: str | Path,
    checkpoint: str | Path,
    out: str | Path,
    data: str,
    results: Sequence[Mapping[str, Any]] = (),
    max_bytes: int = 3_000_000,
) -> Path:
    """Write the weights of a run's checkpoint, and its model card.

    Args:
        config (str | Path): The config that it was trained with, or ``cmac_mm::NAME``.
        checkpoint (str | Path): The checkpoint.
        out (str | Path): File to write, ``NAME.pth``; the card is ``NAME.md``.
        data (str): A sentence on what it has seen.
        results (Sequence[Mapping]): Of its evaluations, as :func:`load_results` reads them.
            Defaults to none.
        max_bytes (int): Largest size of the weights. Defaults to 3,000,000.

    Returns:
        Path: The card.

    Raises:
        ValueError: If the weights take more, or ``out`` does not end in ``.pth``.
        RuntimeError: If the checkpoint is none of a run, is damaged or holds weights that are no
            numbers.
    """
    out = Path(out)
    if out.suffix != ".pth":
        raise ValueError(f"{out}: expected a name that ends in .pth")
    content = load_checkpoint(checkpoint)
    weights = weights_of(content, checkpoint)
    refuse_non_finite(weights, checkpoint)
    meta = content.get("meta") or {}
    missing = [key for key in ("epoch", "iter", "seed") if key not in meta]
    if missing:
        raise RuntimeError(
            f"{checkpoint}: expected a checkpoint of a run, its meta lacks {', '.join(missing)}"
        )
    meta = {key: meta[key] for key in _KEPT if key in meta}
    size = sum(value.nbytes for value in weights.values())
    if size > max_bytes:
        raise ValueError(f"{checkpoint}: its weights take {size} bytes, expected {max_bytes}")
    write_checkpoint(out, weights, meta)
    card = out.with_suffix(".md")
    count = sum(value.numel() for value in weights.values())
    name = config if str(config).startswith("cmac_mm::") else Path(config).name
    facts = {
        "config": f"`{name}` ({load_config(config).model.type})",
        "data": data,
        "videos": meta.get("training_list", {}).get("size", "not known"),
        "training": f"{meta['iter']} steps, {meta['epoch']} epochs, seed {meta['seed']}",
        "weights": f"{count:,}, {out.stat().st_size:,} bytes",
        "SHA-256": f"`{file_sha256(out)}`",
        "written by": f"cmac_mm {__version__}",
        "licence": "Apache-2.0",
    }
    lines = [f"# {out.stem}", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items()]
    for result in results:
        lines += ["", *_figures(result)]
    write_text(card, "\n".join(lines) + "\n")
    return card


def _figures(result: Mapping[str, Any]) -> list[str]:
    """A result as a table in per cent."""
    columns = {
        name: result[name] for name in ("chance", "untrained", "metrics") if result.get(name)
    }
    title = f"{result['benchmark']}"
    if result.get("protocol"):
        title += f", {result['protocol']}"
    names = ["this file" if name == "metrics" else name for name in columns]
    lines = [f"| {title}, % | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for row in result["metrics"]:
        cells = [f"{100 * column[row]:.1f}" if row in column else "" for column in columns.values()]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines
