"""Repeat a table of a paper, or judge released encoders: tools/reproduce.py TABLE [ROW ...].

    python tools/reproduce.py --list
    python tools/reproduce.py table1 --dry-run
    python tools/reproduce.py table1 wo-attention ablation --scale demo
    python tools/reproduce.py table1 --paper avid
    python tools/reproduce.py avid avid-cma_audioset

Each row is pretrained (tools/train.py) and evaluated as the paper did (tools/evaluate.py); rows
that are there already are not run again. Run it again after an interruption: it goes on where it
was. The rows of avid, gdt, selavi and xdc are released encoders, which are evaluated as their
authors report. configs/*/tables.yml has the rows. The table is printed and written to
WORK_DIR/SCALE, of other papers than CMAC's to WORK_DIR/PAPER.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "table", nargs="?", help="table1 ..., figure4 ..., avid, gdt, selavi, xdc: see --list"
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="names of rows (all)")
    parser.add_argument(
        "--paper", choices=["cmac", "avid", "xdc"], default="cmac", help="whose tables (cmac)"
    )
    parser.add_argument("--list", action="store_true", help="name all tables and rows, and end")
    parser.add_argument("--dry-run", action="store_true", help="print the commands that are left")
    parser.add_argument(
        "--scale",
        choices=["paper", "demo"],
        default="paper",
        help="demo: the rows on the built-in set, with the demo's networks and evaluation (paper)",
    )
    parser.add_argument(
        "--gpus",
        type=int,
        help="GPUs, or processes on CPU, for pretraining and features; videos a step stay the "
        "same, by accumulation on fewer than in the recipe (8; demo 1)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all random draws (0)")
    parser.add_argument(
        "--work-dir", type=Path, default=Path("work_dirs/reproduce"), help="(%(default)s)"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="further options of all pretraining, with --scale demo of the evaluation too",
    )
    args = parser.parse_args()
    if (args.table is None) == (not args.list):
        parser.error("expected a TABLE, or --list")
    if args.gpus is not None and args.gpus < 1:
        parser.error(f"--gpus: expected 1 or more, not {args.gpus}")
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

from cmac_mm.apis.reproduce import Reproduction, describe_tables


def main(args: argparse.Namespace) -> None:
    """List, print or run what the command line says."""
    if args.list:
        print(describe_tables(args.paper))
        return
    reproduction = Reproduction(
        args.table,
        args.rows,
        args.scale,
        args.gpus,
        args.seed,
        args.work_dir,
        args.cfg_options,
        args.paper,
    )
    if args.dry_run:
        print(reproduction.commands())
    else:
        reproduction.run()


if __name__ == "__main__":
    main(ARGS)
