"""Train and test on every split: python tools/run_splits.py CONFIG [options], see --help."""

import argparse
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Train and test a recognition config on each split, one after another, print "
        "the results and their mean, and write them to WORK_DIR/BENCHMARK.json. Run it again after "
        "an interruption: finished splits are kept, the one under way goes on."
    )
    parser.add_argument("config", help="config file with a variable `split`, or cmac_mm::NAME")
    parser.add_argument(
        "--checkpoint", help="pretraining checkpoint to take the encoder from (from scratch)"
    )
    parser.add_argument(
        "--splits", type=int, nargs="+", default=[1, 2, 3], help="which splits (1 2 3)"
    )
    parser.add_argument(
        "--work-dir", type=Path, help="folder of the whole (work_dirs/CONFIG_NAME); splitN inside"
    )
    parser.add_argument("--gpus", type=int, default=1, help="GPUs, or CPU processes (1)")
    parser.add_argument("--seed", type=int, help="random seed of every split (drawn and logged)")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="set variables or override fields, as in tools/train.py; {split} stands for the split",
    )
    args = parser.parse_args()
    if args.work_dir is None:
        args.work_dir = Path("work_dirs", Path(args.config.split("::")[-1]).stem)
    if len(set(args.splits)) < len(args.splits) or min(args.splits) < 1 or args.gpus < 1:
        parser.error("--splits and --gpus: expected different numbers from 1 up")
    if args.checkpoint is not None:
        if not Path(args.checkpoint).is_file():
            parser.error(f"--checkpoint {args.checkpoint}: there is no such file")
        args.cfg_options.append(f"model.backbone.init_cfg.checkpoint={args.checkpoint}")
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.evaluation import save_result
from cmac_mm.utils import end_with_parent, load_config, read_json
from cmac_mm.utils.files import write_text

TOOLS = Path(__file__).resolve().parent


def options_of_split(args: argparse.Namespace, split: int) -> list[str]:
    """The config overrides of one split."""
    options = [option.replace("{split}", str(split)) for option in args.cfg_options]
    return [*options, f"split={split}"]


def config_of_split(args: argparse.Namespace, split: int) -> Config:
    """Read the config as the tools will do for this split.

    Raises:
        ValueError: If it does not depend on the split, or says no benchmark.
    """
    cfg = load_config(args.config)
    if "split" not in cfg or "result" not in cfg.get("default_hooks", {}):
        raise ValueError(
            f"{args.config} is no config for splits: expected a variable `split` and "
            "default_hooks.result, as the configs in configs/recognition have"
        )
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    options = parser.parse_args(["--cfg-options", *options_of_split(args, split)]).cfg_options
    return load_config(args.config, options)


def check_settings(args: argparse.Namespace, configs: dict[int, Config]) -> None:
    """Keep what the work folder was made with, and refuse to mix it with something else.

    Raises:
        ValueError: If the folder holds splits of another config, encoder, seed or number of GPUs.
    """
    encoder = args.checkpoint and hashlib.sha256(Path(args.checkpoint).read_bytes()).hexdigest()
    settings = {
        "encoder": encoder,
        "seed": args.seed,
        "gpus": args.gpus,
        "config": {
            f"split{split}": hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
            for split, cfg in configs.items()
        },
    }
    path = args.work_dir / "settings.json"
    if path.is_file():
        old = read_json(path)
        if not isinstance(old, dict) or not settings.keys() <= old.keys():
            raise ValueError(f"{path}: expected {', '.join(settings)}, as this tool writes it")
        changed = [key for key in ("encoder", "seed", "gpus") if old[key] != settings[key]]
        if any(
            old["config"].get(split, text) != text for split, text in settings["config"].items()
        ):
            changed.append("config")
        if changed:
            raise ValueError(
                f"{args.work_dir} holds splits that were run with another {', '.join(changed)}: "
                "choose another --work-dir, or remove that folder"
            )
        settings["config"] = {**old["config"], **settings["config"]}
    write_text(path, json.dumps(settings, indent=2) + "\n")


def call(split: int, tool: str, arguments: list[str], gpus: int, options: list[str]) -> None:
    """Run tools/train.py or tools/test.py for a split; ends this process where that one fails."""
    command = [sys.executable, str(TOOLS / f"{tool}.py"), *arguments]
    if gpus > 1:
        command = ["bash", str(TOOLS / f"dist_{tool}.sh"), *arguments]
    command += options
    print(shlex.join(command), flush=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # Whatever ends this process, what it has started saves and ends.
    result = subprocess.run(
        command,
        env={**os.environ, "PATH": path},
        preexec_fn=partial(end_with_parent, signal.SIGTERM),
    )
    if result.returncode:
        print(f"split {split}: {tool}.py ended with {result.returncode}", file=sys.stderr)
        sys.exit(result.returncode if result.returncode > 0 else 1)


def run_split(args: argparse.Namespace, split: int, cfg: Config) -> dict:
    """Train and test one split, or what is left of it; returns its result."""
    folder = args.work_dir / f"split{split}"
    path = folder / f"{cfg.default_hooks.result.benchmark}.json"
    if path.is_file():
        print(f"split {split} is done: {path}")
        return read_json(path)
    options = ["--work-dir", str(folder), "--cfg-options", *options_of_split(args, split)]
    gpus = [str(args.gpus)] if args.gpus > 1 else []
    last = folder.absolute() / f"epoch_{cfg.train_cfg.max_epochs}.pth"
    if not last.is_file():
        seed = [] if args.seed is None else ["--seed", str(args.seed)]
        call(split, "train", [args.config, *gpus], args.gpus, ["--resume", *seed, *options])
    # The last epoch: nothing is chosen on the test videos.
    call(split, "test", [args.config, str(last), *gpus], args.gpus, options)
    return read_json(path)


def print_table(results: dict[int, dict], mean: dict[str, float]) -> None:
    """Print the figures of all splits and their mean, in percent."""
    rows = {str(split): result["metrics"] for split, result in results.items()} | {"mean": mean}
    print(f"\n| {'split':5} | " + " | ".join(f"{name:>10}" for name in mean) + " |")
    print(f"|{'-' * 7}|" + f"{'-' * 11}:|" * len(mean))
    for title, row in rows.items():
        print(f"| {title:5} | " + " | ".join(f"{100 * row[name]:10.2f}" for name in mean) + " |")


def main(args: argparse.Namespace) -> None:
    """Run as the command line says."""
    configs = {split: config_of_split(args, split) for split in args.splits}
    check_settings(args, configs)
    results = {split: run_split(args, split, cfg) for split, cfg in configs.items()}
    first = results[args.splits[0]]
    mean = {
        name: sum(result["metrics"][name] for result in results.values()) / len(results)
        for name in first["metrics"]
    }
    print_table(results, mean)
    kind = "fold" if "fold" in first else "split"
    path = args.work_dir / f"{first['benchmark']}.json"
    save_result(
        path,
        first["benchmark"],
        first["checkpoint"],
        mean,
        **{key: first[key] for key in ("protocol", "config", "epoch") if key in first},
        seed=args.seed,
        **{f"{kind}s": [{kind: n, **result["metrics"]} for n, result in results.items()]},
    )
    print(f"written: {path}")


if __name__ == "__main__":
    main(ARGS)
