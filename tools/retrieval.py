"""Retrieval with a pretrained encoder: python tools/retrieval.py CONFIG CHECKPOINT.

Computes the features of the gallery (training videos) and the queries (test videos) once and keeps
them on disk, so that a second run takes seconds and a killed one goes on. Prints and writes the
share of queries with a video of their class among the k nearest, beside chance, and draws a sheet
of queries with what they found.
"""

import argparse
import os
from pathlib import Path

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config file, such as those in configs/retrieval")
    parser.add_argument(
        "checkpoint", nargs="?", help="pretrained checkpoint (default: none, random weights)"
    )
    parser.add_argument(
        "--prefix",
        help="what the encoder's keys in the checkpoint start with, '' for a plain state dict "
        "(default: visual_backbone. or audio_backbone., as pretraining writes them)",
    )
    parser.add_argument(
        "--work-dir", type=Path, help="folder for the results (default: work_dirs/CONFIG_NAME)"
    )
    parser.add_argument(
        "--cache-dir", type=Path, help="folder for the features (default: WORK_DIR/features)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of random weights, where there is no checkpoint (0)"
    )
    parser.add_argument(
        "--sheet-queries", type=int, default=8, help="queries on the sheet; 0 for no sheet (8)"
    )
    parser.add_argument(
        "--by-content",
        action="store_true",
        help="tell files that were replaced since their features were computed by their content, "
        "which reads them all, and not by size and time of change",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="set variables or override fields of the config, e.g. test_dataloader.batch_size=8",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    args.work_dir = args.work_dir or Path("work_dirs", Path(args.config.split("::")[-1]).stem)
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

import numpy as np
import torch
from mmaction.registry import DATASETS, METRICS
from mmengine.dist import init_dist, is_distributed, is_main_process
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.table import Table
from torch import Tensor

from cmac_mm.apis import encoder_features
from cmac_mm.datasets import AudioVisualDataset, RetrievalDataset
from cmac_mm.evaluation import save_result
from cmac_mm.evaluation.functional import nearest_neighbours
from cmac_mm.utils import load_config, read_classes, setup_launcher, shut_down
from cmac_mm.visualization import NeighbourRow, middle_frame, neighbour_sheet


def score(cfg: Config, features: dict[str, Tensor], files: list[str], num_gallery: int) -> dict:
    """What the config's metric reports, of features that are there."""
    metric = METRICS.build(cfg.test_evaluator)
    in_gallery = torch.arange(len(files)) < num_gallery
    return metric.score(features[metric.feature], features["label"], in_gallery, files)


def is_recall(name: str) -> bool:
    """Whether a metric is ``R@k`` itself."""
    return name.startswith("R@") and name.removeprefix("R@").isdecimal()


def print_table(metrics: dict[str, float]) -> None:
    """The table for people."""
    without = any(name.endswith("_without_duplicates") for name in metrics)
    print(
        f"{metrics['num_query']} queries ({metrics['num_duplicates']} with a duplicate in the "
        f"gallery), {metrics['num_gallery']} gallery videos"
    )
    table = Table()
    for column in ("%", "recall", "chance", *(["without duplicates"] if without else [])):
        table.add_column(column, justify="left" if column == "%" else "right")
    for name in metrics:
        if is_recall(name):
            row = [metrics[name], metrics[f"chance_{name}"]]
            row += [metrics[f"{name}_without_duplicates"]] if without else []
            table.add_row(name, *(f"{100 * value:.2f}" for value in row))
    Console(width=100).print(table)


def draw_sheet(
    cfg: Config,
    features: dict[str, Tensor],
    files: list[str],
    num_gallery: int,
    args: argparse.Namespace,
) -> Path:
    """Draw queries, spread evenly over the list, and their five nearest gallery videos."""
    x, labels = features[cfg.test_evaluator.feature], features["label"].tolist()
    classes: list[str] = []
    if cfg.get("class_file") and Path(cfg.class_file).is_file():
        classes = read_classes(cfg.class_file)
    num_query = len(files) - num_gallery
    chosen = np.linspace(0, num_query - 1, min(args.sheet_queries, num_query)).round().astype(int)
    found, similarities = nearest_neighbours(
        x[num_gallery:][torch.from_numpy(chosen)],
        x[:num_gallery],
        k=min(5, num_gallery),
        distance=cfg.test_evaluator.distance,
    )

    def title(row: int) -> str:
        return classes[labels[row]] if labels[row] < len(classes) else f"class {labels[row]}"

    rows = []
    for query, neighbours, values in zip(
        (chosen + num_gallery).tolist(), found.tolist(), similarities.tolist(), strict=True
    ):
        cells = [(middle_frame(files[i]), title(i), labels[i] == labels[query]) for i in neighbours]
        rows.append(NeighbourRow(middle_frame(files[query]), title(query), cells, values))
    path = args.work_dir / "neighbours.png"
    neighbour_sheet(rows, path)
    return path


def report(
    cfg: Config, args: argparse.Namespace, features: dict[str, Tensor], dataset: RetrievalDataset
) -> None:
    """Score, print, write and draw."""
    files = [dataset.get_data_info(row)["filename"] for row in range(len(dataset))]
    num_gallery = len(dataset.datasets[0])
    metrics = score(cfg, features, files, num_gallery)
    print_table(metrics)
    path = args.work_dir / f"{cfg.benchmark}.json"
    recalls = {name: metrics[name] for name in metrics if is_recall(name)}
    details = {name: value for name, value in metrics.items() if name not in recalls}
    lists = cfg.test_dataloader.dataset
    save_result(
        path,
        cfg.benchmark,
        args.checkpoint,
        recalls,
        protocol=cfg.protocol,
        split=cfg.split,
        **details,
        config=Path(args.config).name,
        gallery=lists.gallery.ann_file,
        query=lists.query.ann_file,
        distance=cfg.test_evaluator.distance,
        seed=args.seed,
    )
    written = [path]
    if args.sheet_queries > 0:
        written.append(draw_sheet(cfg, features, files, num_gallery, args))
    print(f"written: {', '.join(str(path) for path in written)}")


def main(args: argparse.Namespace) -> None:
    """Run as the command line says."""
    cfg = load_config(args.config, args.cfg_options)
    setup_launcher(cfg, args.launcher)
    if args.launcher != "none" and not is_distributed():
        init_dist(args.launcher)
    init_default_scope(cfg.get("default_scope", "mmaction"))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    for part in dataset.datasets:
        if isinstance(part, AudioVisualDataset):  # MMAction2's own always have labels
            part.check_labels()
    features = encoder_features(
        cfg,
        args.checkpoint,
        cfg.test_evaluator.feature,
        args.cache_dir or args.work_dir / "features",
        args.prefix,
        args.seed,
        args.by_content,
    )
    if is_main_process():
        report(cfg, args, features, dataset)
    shut_down()


if __name__ == "__main__":
    main(ARGS)
