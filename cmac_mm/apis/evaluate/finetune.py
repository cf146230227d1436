"""Benchmarks that train: fine-tuning on each split, or a linear probe."""

import hashlib
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from ...evaluation import save_result
from ...utils import read_json, write_text
from ..processes import run_command, tool_command
from .options import Options


@dataclass(frozen=True)
class _Part:
    """One training and its test.

    Attributes:
        name (str): ``'split2'``, or ``'whole'`` where there are no splits.
        folder (Path): Where it is run.
        overrides (list[str]): Of the config, ``KEY=VALUE``.
        cfg (Config): The config as the tools will read it.
    """

    name: str
    folder: Path
    overrides: list[str]
    cfg: Config


def run(options: Options) -> list[dict]:
    """Train on each of ``evaluation.splits`` from the checkpoint's encoder, and test.

    ``tools/train.py`` and ``tools/test.py`` are started for it, on several GPUs ``dist_train.sh``
    and ``dist_test.sh``; ``{split}`` in the overrides stands for the split. After an interruption
    finished splits are kept and the one under way goes on. Writes the mean of the splits to
    ``BENCHMARK.json``, each split's own result to ``splitN/BENCHMARK.json``. Where the config's
    splits are None, there is one training, in the work folder itself.

    Args:
        options (Options): The benchmark and the checkpoint.

    Returns:
        list[dict]: The result.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the config writes no result or does not depend on the split, or the work
            folder holds runs of another config, encoder, seed or number of GPUs.
        SystemExit: If a training or a test fails, with its exit status.
    """
    if options.checkpoint is not None and not Path(options.checkpoint).is_file():
        raise FileNotFoundError(f"checkpoint {options.checkpoint} does not exist")
    parts = _parts(options)
    _check_settings(options, parts)
    results = {part.name: _run_part(options, part) for part in parts}
    first = next(iter(results.values()))
    rows = {name: result["metrics"] for name, result in results.items()}
    if parts[0].name == "whole":
        _print_table(rows)
        return [first]
    mean = {key: sum(row[key] for row in rows.values()) / len(rows) for key in first["metrics"]}
    _print_table({name.removeprefix("split"): row for name, row in rows.items()} | {"mean": mean})
    kind = "fold" if "fold" in first else "split"
    path = options.folder / f"{first['benchmark']}.json"
    result = save_result(
        path,
        first["benchmark"],
        first["checkpoint"],
        mean,
        **{key: first[key] for key in ("protocol", "config", "epoch") if key in first},
        seed=options.seed,
        **{f"{kind}s": [{kind: r[kind], **r["metrics"]} for r in results.values()]},
    )
    print(f"written: {path}")
    return [result]


def _parts(options: Options) -> list[_Part]:
    """List the trainings of a benchmark."""
    cfg = options.load_config(())
    if not cfg.get("default_hooks", {}).get("result"):
        raise ValueError(
            f"{options.config} writes no result: expected default_hooks.result, as the configs in "
            "configs/recognition have it"
        )
    fixed = []
    if options.checkpoint is not None:
        fixed.append(f"model.backbone.init_cfg.checkpoint={options.checkpoint}")
    if options.encoder_prefix is not None:
        fixed.append(f"model.backbone.init_cfg.prefix={options.encoder_prefix}")
    splits = cfg.evaluation.get("splits")
    if splits is None:
        if options.splits is not None:
            raise ValueError(f"--splits means nothing to {options.config}, which has no splits")
        overrides = [*options.cfg_options, *fixed]
        return [_Part("whole", options.folder, overrides, options.load_config(overrides))]
    if "split" not in cfg:
        raise ValueError(f"{options.config} has evaluation.splits, but no variable `split`")
    parts = []
    for split in options.splits or splits:
        overrides = [option.replace("{split}", str(split)) for option in options.cfg_options]
        overrides += [*fixed, f"split={split}"]
        folder = options.folder / f"split{split}"
        parts.append(_Part(f"split{split}", folder, overrides, options.load_config(overrides)))
    return parts


def _check_settings(options: Options, parts: list[_Part]) -> None:
    """Keep what the work folder was made with, and refuse to mix it with something else."""
    encoder = options.checkpoint
    config = {
        part.name: hashlib.sha256(part.cfg.pretty_text.encode()).hexdigest() for part in parts
    }
    settings = {
        "encoder": encoder and hashlib.sha256(Path(encoder).read_bytes()).hexdigest(),
        "seed": options.seed,
        "gpus": options.gpus,
        "config": config,
    }
    path = options.folder / "settings.json"
    if path.is_file():
        old = read_json(path)
        if not isinstance(old, dict) or not settings.keys() <= old.keys():
            raise ValueError(f"{path}: expected {', '.join(settings)}, as this tool writes it")
        changed = [key for key in ("encoder", "seed", "gpus") if old[key] != settings[key]]
        if any(old["config"].get(name, text) != text for name, text in config.items()):
            changed.append("config")
        if changed:
            raise ValueError(
                f"{options.folder} holds splits that were run with another {', '.join(changed)}: "
                "choose another --work-dir, or remove that folder"
            )
        settings["config"] = {**old["config"], **config}
    write_text(path, json.dumps(settings, indent=2) + "\n")


def _run_part(options: Options, part: _Part) -> dict:
    """Run the rest of a training and its test; return the result."""
    path = part.folder / f"{part.cfg.default_hooks.result.benchmark}.json"
    if path.is_file():
        print(f"{part.name} is done: {path}")
        return read_json(path)
    common = ["--work-dir", str(part.folder)]
    if part.overrides:
        common += ["--cfg-options", *part.overrides]
    gpus = [str(options.gpus)] if options.gpus > 1 else []
    last = part.folder.absolute() / f"epoch_{part.cfg.train_cfg.max_epochs}.pth"
    if not last.is_file():
        arguments = [options.config, *gpus, "--resume", "--seed", str(options.seed), *common]
        _call(part, "train", arguments, options.gpus)
    # The last epoch: nothing is chosen on the test videos.
    _call(part, "test", [options.config, str(last), *gpus, *common], options.gpus)
    return read_json(path)


def _call(part: _Part, tool: str, arguments: list[str], gpus: int) -> None:
    """Run tools/train.py or tools/test.py; ends this process where that one fails."""
    command = tool_command(tool, arguments, gpus)
    print(shlex.join(command), flush=True)
    status = run_command(command)
    if status:
        print(f"{part.name}: {tool}.py ended with {status}", file=sys.stderr)
        sys.exit(status if status > 0 else 1)


def _print_table(rows: dict[str, dict[str, float]]) -> None:
    """Print figures in percent."""
    names = next(iter(rows.values()))
    print(f"\n| {'split':5} | " + " | ".join(f"{name:>10}" for name in names) + " |")
    print(f"|{'-' * 7}|" + f"{'-' * 11}:|" * len(names))
    for title, row in rows.items():
        print(f"| {title:5} | " + " | ".join(f"{100 * row[name]:10.2f}" for name in names) + " |")
