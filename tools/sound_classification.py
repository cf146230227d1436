"""Sound classification with a pretrained encoder: tools/sound_classification.py CONFIG CHECKPOINT.

Computes the features of all recordings once and keeps them on disk, then trains classifiers on
them, fold by fold: a linear layer and a linear one-vs-all SVM, their parameters chosen by
cross-validation inside the training folds. Prints and writes each fold's accuracy and the mean,
and draws the confusion matrix. A killed run goes on where it was.
"""

import argparse
import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config file, such as those in configs/audio")
    parser.add_argument(
        "checkpoint", nargs="?", help="pretrained checkpoint (default: none, random weights)"
    )
    parser.add_argument(
        "--classifier",
        choices=["linear", "svm", "both"],
        default="both",
        help="what is trained on the features (both)",
    )
    parser.add_argument(
        "--prefix",
        default="audio_backbone.",
        help="what the encoder's keys in the checkpoint start with, '' for a plain state dict "
        "(audio_backbone., as pretraining writes them)",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="classifiers trained at a time; -1: one a core (1)"
    )
    parser.add_argument(
        "--work-dir", type=Path, help="folder for the results (default: work_dirs/CONFIG_NAME)"
    )
    parser.add_argument(
        "--cache-dir", type=Path, help="folder for the features (default: WORK_DIR/features)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of random weights, and of the linear layer (0)"
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
        help="set variables or override fields of the config, e.g. model.pooling=none",
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
from mmaction.registry import DATASETS
from mmengine.dist import init_dist, is_distributed, is_main_process
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from cmac_mm.apis import encoder_features
from cmac_mm.datasets import AudioClipDataset
from cmac_mm.evaluation import FoldsResult, classify_folds, save_result
from cmac_mm.evaluation.functional import LinearClassifier, SVMClassifier
from cmac_mm.utils import load_config, read_classes, setup_launcher, shut_down
from cmac_mm.visualization import confusion_picture

CLASSIFIERS = {"linear": LinearClassifier, "svm": SVMClassifier}


def read_folds(dataset: AudioClipDataset) -> np.ndarray:
    """The list that each recording is in, counted from 1; a recording may be in one only."""
    infos = [dataset.get_data_info(row) for row in range(len(dataset))]
    lists: dict[str, int] = {}
    for info in infos:
        first = lists.setdefault(info["filename"], info["fold"])
        if first != info["fold"]:
            names = [dataset.ann_files[fold - 1] for fold in (first, info["fold"])]
            raise ValueError(
                f"{info['filename']} is in {names[0]} and in {names[1]}: a recording must not be "
                "trained on and tested"
            )
    return np.array([info["fold"] for info in infos])


def class_names(evaluation: Mapping, dataset: AudioClipDataset) -> list[str]:
    """The lines of the class file, or numbers where none is given; no label may be beyond."""
    if evaluation.get("class_file") is None:
        dataset.check_labels()
        labels = [dataset.get_data_info(row)["label"] for row in range(len(dataset))]
        return [str(label) for label in range(max(labels) + 1)]
    path = Path(evaluation["class_file"])
    if not path.is_file():
        raise ValueError(
            f"evaluation.class_file: {path} does not exist; give the file with one class name a "
            "line, or None"
        )
    classes = read_classes(path)
    dataset.check_labels(len(classes))
    return classes


def print_table(result: FoldsResult, names: list[str], title: str) -> None:
    """The table for people."""
    table = Table(title=title, title_justify="left")
    table.add_column("test fold")
    for column in ("recordings", *(f"{name} %" for name in result.metrics), "chosen", "by c.-v. %"):
        table.add_column(column, justify="right")
    for fold in result.folds:
        figures = [f"{100 * getattr(fold, name):.2f}" for name in result.metrics]
        chosen = ", ".join(f"{name} {value:g}" for name, value in fold.chosen.items())
        in_training = "-" if fold.cv_top1 is None else f"{100 * fold.cv_top1:.2f}"
        table.add_row(names[fold.fold - 1], str(fold.num_test), *figures, chosen, in_training)
    table.add_section()
    means = [f"{100 * value:.2f}" for value in result.metrics.values()]
    total = str(sum(fold.num_test for fold in result.folds))
    table.add_row("mean of the folds", total, *means, "", "", style="bold")
    Console(width=120).print(table)
    for note in result.notes:
        print(f"note: {note}")


def report(
    cfg: Config,
    args: argparse.Namespace,
    features: dict[str, Tensor],
    dataset: AudioClipDataset,
    classes: list[str],
) -> None:
    """Train, score, print, write and draw."""
    x, labels = features["audio_feature"].numpy(), features["label"].flatten().numpy()
    folds, evaluation = read_folds(dataset), cfg.evaluation
    names = [Path(path).stem for path in dataset.ann_files]
    for kind in CLASSIFIERS if args.classifier == "both" else [args.classifier]:
        options = dict(evaluation[kind])
        if kind == "linear":
            options["seed"] = args.seed
        result = classify_folds(
            x,
            labels,
            folds,
            CLASSIFIERS[kind](**options),
            len(classes),
            test_folds=evaluation.get("test_folds"),
            test_clips=evaluation.get("test_clips"),
            jobs=args.jobs,
            store=args.work_dir / "trainings",
            track=partial(track, description=f"training, {kind}"),
        )
        benchmark = f"{cfg.benchmark}-{kind}"
        print_table(result, names, benchmark)
        path = args.work_dir / f"{benchmark}.json"
        save_result(
            path,
            benchmark,
            args.checkpoint,
            result.metrics,
            protocol=cfg.protocol,
            config=args.config,
            folds=[{**asdict(fold), "list": names[fold.fold - 1]} for fold in result.folds],
            lists=dataset.ann_files,
            recordings=len(labels),
            clips=x.shape[1],
            test_clips=evaluation.get("test_clips") or x.shape[1],
            feature_size=x.shape[2],
            pooling=cfg.model.pooling,
            classifier=options,
            classes=classes,
            confusion=result.confusion.tolist(),
            notes=result.notes,
            seed=args.seed,
        )
        picture = path.with_name(f"{benchmark}_confusion.png")
        title = f"{benchmark}: top-1 {100 * result.metrics['top1']:.1f} %, mean of the folds"
        confusion_picture(result.confusion, classes, title, picture)
        print(f"written: {path}, {picture}")


def main(args: argparse.Namespace) -> None:
    """Run as the command line says."""
    cfg = load_config(args.config, args.cfg_options)
    setup_launcher(cfg, args.launcher)
    if args.launcher != "none" and not is_distributed():
        init_dist(args.launcher)
    init_default_scope(cfg.get("default_scope", "mmaction"))
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    classes = class_names(cfg.evaluation, dataset)
    features = encoder_features(
        cfg,
        args.checkpoint,
        "audio_feature",
        args.cache_dir or args.work_dir / "features",
        args.prefix,
        args.seed,
        args.by_content,
    )
    reports = is_main_process()
    # Training may take longer than ranks wait for each other.
    shut_down()
    if reports:
        report(cfg, args, features, dataset, classes)


if __name__ == "__main__":
    main(ARGS)
