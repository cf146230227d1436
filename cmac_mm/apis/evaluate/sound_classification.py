"""Sound classification: classifiers on the frozen features of recordings, fold by fold."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from mmengine.config import Config
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from ...datasets import AudioClipDataset
from ...evaluation import FoldsResult, classify_folds, save_result
from ...evaluation.functional import LinearClassifier, SVMClassifier
from ...utils import read_classes
from ...visualization import confusion_picture
from .features import test_features
from .options import Options

_CLASSIFIERS = {"linear": LinearClassifier, "svm": SVMClassifier}


def run(options: Options) -> list[dict]:
    """Compute the features of all recordings, and train the classifiers on them.

    These are a linear layer (``evaluation.linear``) and a linear one-vs-all SVM
    (``evaluation.svm``), their parameters chosen by cross-validation inside the training folds;
    None in place of a classifier's settings leaves it out. Writes ``BENCHMARK-linear.json`` and
    ``BENCHMARK-svm.json``, and the confusion matrices as pictures.

    Args:
        options (Options): The benchmark and the checkpoint.

    Returns:
        list[dict]: The results, one a classifier; empty on all ranks but the first.

    Raises:
        ValueError: If there is no classifier, or a recording is in two lists.
    """
    cfg = options.load_config()
    kinds = [kind for kind in _CLASSIFIERS if cfg.evaluation.get(kind) is not None]
    if not kinds:
        raise ValueError(
            f"{options.config} has no classifier: expected evaluation.linear, evaluation.svm or "
            "both"
        )
    found = test_features(
        cfg, options, "audio_feature", lambda dataset: _class_names(cfg.evaluation, dataset)
    )
    if found is None:
        return []
    features, dataset = found
    return [_classify(kind, cfg, options, features, dataset) for kind in kinds]


def _classify(
    kind: str,
    cfg: Config,
    options: Options,
    features: dict[str, Tensor],
    dataset: AudioClipDataset,
) -> dict:
    """Train and test one classifier on all folds; print, write and draw."""
    x, labels = features["audio_feature"].numpy(), features["label"].flatten().numpy()
    evaluation, classes = cfg.evaluation, _class_names(cfg.evaluation, dataset)
    names = [Path(path).stem for path in dataset.ann_files]
    settings = dict(evaluation[kind])
    if kind == "linear":
        settings["seed"] = options.seed
    result = classify_folds(
        x,
        labels,
        _read_folds(dataset),
        _CLASSIFIERS[kind](**settings),
        len(classes),
        test_folds=evaluation.get("test_folds"),
        test_clips=evaluation.get("test_clips"),
        jobs=evaluation.jobs,
        store=options.folder / "trainings",
        track=partial(track, description=f"training, {kind}"),
    )
    benchmark = f"{evaluation.benchmark}-{kind}"
    _print_table(result, names, benchmark)
    path = options.folder / f"{benchmark}.json"
    saved = save_result(
        path,
        benchmark,
        options.checkpoint,
        result.metrics,
        protocol=evaluation.protocol,
        config=options.config,
        folds=[{**asdict(fold), "list": names[fold.fold - 1]} for fold in result.folds],
        lists=dataset.ann_files,
        recordings=len(labels),
        clips=x.shape[1],
        test_clips=evaluation.get("test_clips") or x.shape[1],
        feature_size=x.shape[2],
        pooling=cfg.model.pooling,
        classifier=settings,
        classes=classes,
        confusion=result.confusion.tolist(),
        notes=result.notes,
        seed=options.seed,
    )
    picture = path.with_name(f"{benchmark}_confusion.png")
    title = f"{benchmark}: top-1 {100 * result.metrics['top1']:.1f} %, mean of the folds"
    confusion_picture(result.confusion, classes, title, picture)
    print(f"written: {path}, {picture}")
    return saved


def _read_folds(dataset: AudioClipDataset) -> np.ndarray:
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


def _class_names(evaluation: Mapping, dataset: AudioClipDataset) -> list[str]:
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


def _print_table(result: FoldsResult, names: list[str], title: str) -> None:
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
