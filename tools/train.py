"""Train a model: python tools/train.py CONFIG [options], see --help."""

import argparse
import os
from pathlib import Path

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line; the flags are those of MMAction2's tools/train.py."""
    parser = argparse.ArgumentParser(description="Train a model.")
    parser.add_argument("config", help="config file, or cmac_mm::NAME")
    parser.add_argument(
        "--work-dir", help="folder for logs and checkpoints (default: work_dirs/CONFIG_NAME)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on from a checkpoint; without a path, from the latest in the work folder if any",
    )
    parser.add_argument(
        "--amp",
        nargs="?",
        const="bf16",
        choices=["bf16", "fp16"],
        help="mixed precision: bfloat16, on GPU or CPU, or float16 with loss scaling (bf16)",
    )
    parser.add_argument(
        "--no-validate", action="store_true", help="do not evaluate during training"
    )
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the learning rate from auto_scale_lr.base_batch_size to the actual batch size",
    )
    parser.add_argument("--seed", type=int, help="random seed (default: drawn and logged)")
    parser.add_argument("--diff-rank-seed", action="store_true", help="another seed on each rank")
    parser.add_argument(
        "--deterministic", action="store_true", help="use deterministic algorithms of cuDNN"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="set variables or override fields of the config, e.g. batch_size=4 "
        'model.backbone.out_indices="[2,3]"',
    )
    parser.add_argument(
        "--verbose", action="store_true", help="show every line of the log, and the whole config"
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from mmengine.registry import RUNNERS

from cmac_mm.engine.console import short_console
from cmac_mm.utils import latest_checkpoint, load_config, setup_launcher, shut_down


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Put the command line's flags into the config.

    Raises:
        FileNotFoundError: If the checkpoint to resume from does not exist.
        ValueError: If a flag does not fit the config.
    """
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", Path(args.config.split("::")[-1]).stem))

    # A run that starts from other weights, as CMA does, starts from them until it has a checkpoint.
    fresh = args.resume == "auto" and cfg.get("load_from") and not latest_checkpoint(cfg.work_dir)
    if args.resume is not None and not fresh:
        cfg.resume = True
        cfg.load_from = None if args.resume == "auto" else args.resume
        if cfg.load_from and "://" not in args.resume and not Path(args.resume).is_file():
            raise FileNotFoundError(f"--resume: checkpoint {args.resume} does not exist")

    if args.amp:
        kind = cfg.optim_wrapper.get("type", "OptimWrapper")
        if kind not in ("OptimWrapper", "AmpOptimWrapper", "BFloat16OptimWrapper"):
            raise ValueError(f"--amp replaces an OptimWrapper, but optim_wrapper is {kind}")
        if args.amp == "bf16":
            cfg.optim_wrapper.type = "BFloat16OptimWrapper"
        else:
            cfg.optim_wrapper.type = "AmpOptimWrapper"
            cfg.optim_wrapper.setdefault("loss_scale", "dynamic")

    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None

    if args.auto_scale_lr:
        if not cfg.get("auto_scale_lr"):
            raise ValueError("--auto-scale-lr needs auto_scale_lr.base_batch_size in the config")
        cfg.auto_scale_lr.enable = True

    randomness = {"seed": None} | (cfg.get("randomness") or {})
    if args.seed is not None:
        randomness["seed"] = args.seed
    for flag in ("diff_rank_seed", "deterministic"):
        if getattr(args, flag):
            randomness[flag] = True
    cfg.randomness = randomness


def main(args: argparse.Namespace) -> None:
    """Train as the command line says."""
    cfg = load_config(args.config, args.cfg_options)
    merge_args(cfg, args)
    setup_launcher(cfg, args.launcher)
    try:
        runner_class = RUNNERS.get(cfg.get("runner_type", "Runner"))
        short_console(runner_class, args.verbose).from_cfg(cfg).train()
    except SystemExit:  # all ranks leave on request, see PreemptionHook
        shut_down()
        raise
    shut_down()


if __name__ == "__main__":
    main(ARGS)
