"""Localisation of sounding objects by visual attention."""

from pathlib import Path

import torch
from mmaction.registry import METRICS
from mmengine.device import get_device
from mmengine.runner import Runner, set_random_seed
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ...evaluation import save_result
from ..inference import init_model
from .options import Options

_SCORES = ("cIoU", "mean_cIoU", "AUC")


def run(options: Options) -> list[dict]:
    """Evaluate a pretrained model's attention maps on frames and their audio.

    Writes ``BENCHMARK.json``. Nothing is trained.

    Args:
        options (Options): The benchmark and the checkpoint of a whole model.

    Returns:
        list[dict]: The result.
    """
    cfg = options.load_config()
    set_random_seed(options.seed)
    model = init_model(cfg, options.checkpoint, get_device())
    loader = Runner.build_dataloader(cfg.test_dataloader, seed=options.seed)
    metric = METRICS.build(cfg.test_evaluator)
    for batch in track(loader, "pictures", total=len(loader)):
        with torch.no_grad():
            samples = model.test_step(batch)
        metric.process(batch, [sample.to_dict() for sample in samples])
    scores = metric.compute_metrics(metric.results)
    kinds = [kind for kind in ("guided", "predicted") if f"{kind}_cIoU" in scores]
    _print_table(scores, kinds)
    metrics = {f"{kind}_{score}": scores[f"{kind}_{score}"] for kind in kinds for score in _SCORES}
    path = options.folder / f"{cfg.evaluation.benchmark}.json"
    result = save_result(
        path,
        cfg.evaluation.benchmark,
        options.checkpoint,
        metrics,
        protocol=cfg.evaluation.protocol,
        chance={name: scores[f"chance_{name.split('_', 1)[1]}"] for name in metrics},
        **{name: value for name, value in scores.items() if name not in metrics},
        config=Path(options.config).name,
        test=cfg.test_dataloader.dataset.ann_file,
        seed=options.seed,
    )
    print(f"written: {path}")
    return [result]


def _print_table(scores: dict[str, float], kinds: list[str]) -> None:
    """The table for people."""
    print(
        f"{scores['num_pictures']} pictures, {scores['num_without_box']} of which have no box that "
        "covers a pixel and count as missed"
    )
    table = Table()
    columns = (*kinds, "centre", "chance")
    for column in ("%", *columns):
        table.add_column(column, justify="left" if column == "%" else "right")
    for score in _SCORES:
        table.add_row(score, *(f"{100 * scores[f'{column}_{score}']:.2f}" for column in columns))
    Console(width=100).print(table)
