"""Test a model: python tools/test.py CONFIG CHECKPOINT [options], see --help."""

import argparse
import functools
import os
from pathlib import Path

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line; the flags are those of MMAction2's tools/test.py."""
    parser = argparse.ArgumentParser(description="Test a model.")
    parser.add_argument("config", help="config file, or cmac_mm::NAME")
    parser.add_argument(
        "checkpoint", help="checkpoint file; all weights of the model must be in it"
    )
    parser.add_argument(
        "--work-dir", help="folder for logs and metrics (default: work_dirs/CONFIG_NAME)"
    )
    parser.add_argument("--dump", metavar="FILE.pkl", help="write the predictions to a pickle file")
    parser.add_argument(
        "--show-dir",
        metavar="FOLDER",
        help="write a picture of each video with its predicted classes; for recognisers of videos",
    )
    parser.add_argument("--show", action="store_true", help="show the pictures in windows")
    parser.add_argument(
        "--interval", type=int, default=1, help="draw every so manyth video of the list"
    )
    parser.add_argument(
        "--wait-time", type=float, default=2, help="seconds that a window stays (default: 2)"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="set variables or override fields of the config, e.g. test_dataloader.batch_size=4",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="show every line of the log, and the whole config"
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.dump is not None and not args.dump.endswith((".pkl", ".pickle")):
        parser.error(f"--dump {args.dump}: the name must end in .pkl or .pickle")
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from mmengine.runner import Runner

from cmac_mm.engine.console import short_console
from cmac_mm.engine.hooks.common import bare_model
from cmac_mm.utils import load_config, setup_launcher, shut_down


def check_test_part(cfg: Config, name: str) -> None:
    """Say what to use instead where a config has no test part.

    Raises:
        ValueError: If it lacks a loader, a loop or a metric.
    """
    parts = ("test_dataloader", "test_cfg", "test_evaluator")
    lacking = [part for part in parts if not cfg.get(part)]
    if not lacking:
        return
    advice = (
        "judge its encoder with tools/evaluate.py and a config of configs/recognition, "
        f"linear_probe, retrieval or audio, or add {', '.join(lacking)}"
    )
    if cfg.get("evaluation"):
        advice = f"use tools/evaluate.py {name} CHECKPOINT"
    raise ValueError(f"{name} has no test part: {advice}")


def main(args: argparse.Namespace) -> None:
    """Test as the command line says."""
    cfg = load_config(args.config, args.cfg_options)
    check_test_part(cfg, args.config)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", Path(args.config.split("::")[-1]).stem))
    if args.dump is not None:
        evaluators = cfg.test_evaluator
        if not isinstance(evaluators, list):
            evaluators = [evaluators]
        cfg.test_evaluator = [*evaluators, {"type": "DumpResults", "out_file_path": args.dump}]
    if args.show or args.show_dir is not None:
        pictures = dict(
            type="PredictionPictureHook",
            out_dir=args.show_dir,
            show=args.show,
            interval=args.interval,
            wait_time=args.wait_time,
        )
        cfg.custom_hooks = [*cfg.get("custom_hooks", []), pictures]
    # Timing would choose the algorithms of convolutions, and with them the last digits.
    cfg.merge_from_dict({"env_cfg.cudnn_benchmark": False})
    setup_launcher(cfg, args.launcher)
    cfg.resume, cfg.load_from = False, args.checkpoint
    encoder_alone = cfg.model.type == "FeatureExtractor"
    if encoder_alone:  # which is one part of what the checkpoint holds
        cfg.load_from = None
    runner = short_console(Runner, args.verbose).from_cfg(cfg)
    if encoder_alone:
        bare_model(runner).load_encoder(args.checkpoint)
    # A network that kept some of its random weights would still give metrics.
    runner.load_checkpoint = functools.partial(runner.load_checkpoint, strict=True)
    runner.test()
    del runner
    shut_down()


if __name__ == "__main__":
    main(ARGS)
