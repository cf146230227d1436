"""Judge an encoder by a benchmark: python tools/evaluate.py BENCHMARK_CONFIG CHECKPOINT.

The config says what is done (`evaluation` in it; folders of configs/):

    retrieval       nearest neighbours of test videos among training videos
    audio           classifiers on frozen features of recordings, fold by fold; or fine-tuning
    recognition     fine-tuning and test on every split
    linear_probe    probes on all stages of a frozen encoder
    localisation    does attention over the picture lie on what sounds?
    demo            table and pictures of the built-in set, beside the same network untrained

Results are printed, and written to WORK_DIR, where tools/report.py finds them. Run it again after
an interruption: it goes on where it was.
"""

import argparse
import os
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("config", help="config of the benchmark, or cmac_mm::NAME")
    parser.add_argument(
        "checkpoint",
        help="pretraining checkpoint, of ours or converted; name of a released model, such as "
        "avid-cma_audioset (docs/models.md); 'none': random weights",
    )
    parser.add_argument(
        "--work-dir", type=Path, help="folder for the results (work_dirs/CONFIG_NAME)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all random draws (0)")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs, or processes on CPU (1)")
    parser.add_argument(
        "--splits", type=int, nargs="+", help="splits or folds to train and test on (all)"
    )
    parser.add_argument(
        "--encoder-prefix",
        help="what the encoder's keys in the checkpoint start with, '' for a plain state dict "
        "(visual_backbone. or audio_backbone., as pretraining writes them)",
    )
    parser.add_argument("--cache-dir", type=Path, help="folder for features (WORK_DIR/features)")
    parser.add_argument(
        "--by-content",
        action="store_true",
        help="tell files that were replaced since their features were computed by their content, "
        "which reads them all, and not by size and time of change",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="set variables or override fields of the config, e.g. evaluation.jobs=8; {split} "
        "stands for the split",
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="what has started this process as one of several ranks, e.g. on several machines",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    del args.local_rank
    splits = args.splits or [1]
    if len(set(splits)) < len(splits) or min(splits) < 1 or args.gpus < 1:
        parser.error("--splits and --gpus: expected different numbers from 1 up")
    if args.gpus > 1 and args.launcher != "none":
        parser.error("--gpus starts processes, --launcher says that somebody has: give one of them")
    if args.checkpoint == "none":
        args.checkpoint = None
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.apis.evaluate import Options, evaluate


def main(args: argparse.Namespace) -> None:
    """Evaluate as the command line says."""
    evaluate(Options(**vars(args)))


if __name__ == "__main__":
    main(ARGS)
