"""Retrieval: test videos query training videos of their class."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import Dataset

from ...datasets import AudioVisualDataset
from ...evaluation import save_result
from ...evaluation.functional import class_retrieval, nearest_neighbours
from ...utils import read_classes
from ...visualization import NeighbourRow, middle_frame, neighbour_sheet
from .features import test_features
from .options import Options

_SETTINGS = ("ks", "distance", "chunk_size")


def run(options: Options) -> list[dict]:
    """Extract the features of gallery and queries, and search.

    Writes ``BENCHMARK.json`` and, unless ``evaluation.sheet_queries`` is 0, a sheet of queries with
    what they found.

    Args:
        options (Options): The benchmark and the checkpoint.

    Returns:
        list[dict]: The result; empty on all ranks but the first.
    """
    cfg = options.load_config()
    evaluator = cfg.test_evaluator
    found = test_features(cfg, options, evaluator.feature, _check_labels)
    if found is None:
        return []
    features, dataset = found
    files = [dataset.get_data_info(row)["filename"] for row in range(len(dataset))]
    num_gallery = len(dataset.datasets[0])
    scores, notes = class_retrieval(
        features[evaluator.feature],
        features["label"],
        torch.arange(len(files)) < num_gallery,
        files,
        **{name: evaluator[name] for name in _SETTINGS if name in evaluator},
    )
    _print_table(scores, notes)
    recalls = {name: value for name, value in scores.items() if _is_recall(name)}
    rest = {name: value for name, value in scores.items() if name not in recalls}
    chance = {name: rest.pop(f"chance_{name}") for name in recalls}
    lists = cfg.test_dataloader.dataset
    path = options.folder / f"{cfg.evaluation.benchmark}.json"
    result = save_result(
        path,
        cfg.evaluation.benchmark,
        options.checkpoint,
        recalls,
        protocol=cfg.evaluation.protocol,
        split=cfg.get("split"),
        chance=chance,
        **rest,
        config=Path(options.config).name,
        gallery=lists.gallery.ann_file,
        query=lists.query.ann_file,
        distance=evaluator.distance,
        seed=options.seed,
        notes=notes,
    )
    print(f"written: {path}")
    if cfg.evaluation.sheet_queries > 0:
        sheet = options.folder / "neighbours.png"
        _draw_sheet(cfg, features, files, num_gallery, sheet)
        print(f"written: {sheet}")
    return [result]


def _check_labels(dataset: Dataset) -> None:
    for part in dataset.datasets:
        if isinstance(part, AudioVisualDataset):  # MMAction2's own always have labels
            part.check_labels()


def _is_recall(name: str) -> bool:
    """Whether a metric is ``R@k`` itself."""
    return name.startswith("R@") and name.removeprefix("R@").isdecimal()


def _print_table(metrics: dict[str, float], notes: list[str]) -> None:
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
        if _is_recall(name):
            row = [metrics[name], metrics[f"chance_{name}"]]
            row += [metrics[f"{name}_without_duplicates"]] if without else []
            table.add_row(name, *(f"{100 * value:.2f}" for value in row))
    Console(width=100).print(table)
    for note in notes:
        print(f"note: {note}")


def _draw_sheet(
    cfg: Config,
    features: dict[str, Tensor],
    files: list[str],
    num_gallery: int,
    path: Path,
) -> None:
    """Draw queries, spread evenly over the list, and their five nearest gallery videos."""
    x, labels = features[cfg.test_evaluator.feature], features["label"].tolist()
    classes: list[str] = []
    class_file = cfg.evaluation.get("class_file")
    if class_file and Path(class_file).is_file():
        classes = read_classes(class_file)
    num_query = len(files) - num_gallery
    count = min(cfg.evaluation.sheet_queries, num_query)
    chosen = np.linspace(0, num_query - 1, count).round().astype(int)
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
    neighbour_sheet(rows, path)
