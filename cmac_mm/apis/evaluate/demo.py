"""Evaluation of the demo: a trained network beside the same network untrained."""

import copy
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.runner import Runner, set_random_seed
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from ...evaluation import save_result
from ...features import calibrate_batch_norm
from ...features.extract import FEATURE_FIELDS, feature_records, stack_records
from ...preparation.sounding_shapes import HARD_KINDS, read_ground_truth
from ...utils import write_text
from ...visualization import attention_sheet, sheet_row
from ..inference import inference, init_model
from .demo_scores import (
    ATTENTION_ROWS,
    format_table,
    mel_frequencies,
    score_attention,
    score_features,
    true_boxes,
)
from .options import Options

_BENCHMARK = "sounding-shapes"
_CALIBRATION_BATCHES = 8
Networks = dict[str, BaseModel]


def run(options: Options) -> list[dict]:
    """Evaluate both networks on the test part, with a part of the training part as gallery.

    The table has retrieval and linear probes of both modalities, and how often attention meets the
    sounding object, each against chance. The untrained network has weights drawn with the seed, as
    its training would start from, and batch norm statistics taken from a few training batches, as a
    trained network has them. Writes ``sounding-shapes.json``, ``sounding-shapes.md`` and
    ``attention_sheet.png``, one test video of each kind.

    Args:
        options (Options): The demo's config and the checkpoint of a whole model.

    Returns:
        list[dict]: The result.

    Raises:
        ValueError: If there is no checkpoint, or too few training videos are asked for.
    """
    cfg = options.load_config()
    max_train = cfg.evaluation.max_train
    if max_train < 16:
        raise ValueError(
            f"evaluation.max_train is {max_train}: expected 16 or more videos to learn from"
        )
    if options.checkpoint is None:
        raise ValueError(
            f"{options.config} compares a trained network with itself untrained: expected a "
            "checkpoint"
        )
    networks: Networks = {"trained": init_model(cfg, options.checkpoint, get_device())}
    set_random_seed(options.seed)
    networks = {"untrained": init_model(cfg, device=get_device()), **networks}

    gallery_loader, test_loader = _build_loaders(cfg, max_train, options.seed)
    batches = iter(track(gallery_loader, "training videos", total=len(gallery_loader)))
    first = list(itertools.islice(batches, _CALIBRATION_BATCHES))
    calibrate_batch_norm(networks["untrained"], first)
    gallery, _ = _run_networks(networks, itertools.chain(first, batches), FEATURE_FIELDS)
    test, metas = _run_networks(
        networks,
        track(test_loader, "test videos", total=len(test_loader)),
        (*FEATURE_FIELDS, *ATTENTION_ROWS),
    )
    truths = [read_ground_truth(meta["filename"]) for meta in metas]

    table = score_features(gallery, test)
    attention_table, notes = score_attention(cfg, test, metas, truths)
    table.update(attention_table)
    num_gallery = len(gallery["trained"]["label"])
    notes.insert(
        0,
        f"{len(metas)} test videos; gallery and probes' training part: {num_gallery} "
        f"training videos. Untrained: seed {options.seed}, batch norm calibrated on "
        f"{len(first)} training batches. Features: last maps, {_pooling(networks['trained'])} "
        "over all positions.",
    )
    text = format_table(table, notes)
    print(f"\n{text}")
    path = options.folder / f"{_BENCHMARK}.json"
    write_text(path.with_suffix(".md"), text)
    columns = {
        name: {title: row[name] for title, row in table.items()}
        for name in ("chance", "untrained", "trained")
    }
    result = save_result(
        path,
        _BENCHMARK,
        options.checkpoint,
        columns["trained"],
        protocol=f"{len(metas)} test videos",
        chance=columns["chance"],
        untrained=columns["untrained"],
        config=Path(options.config).name,
        test=cfg.test_dataloader.dataset.ann_file,
        num_gallery=num_gallery,
        seed=options.seed,
        notes=notes,
    )
    sheet = path.with_name("attention_sheet.png")
    _draw_sheet(networks["trained"], metas, truths, sheet)
    print(f"written: {path}, {path.with_suffix('.md')}, {sheet}")
    return [result]


def _pooling(model: BaseModel) -> str:
    """The method's own pooling, in words."""
    pooling = getattr(getattr(model, "head", None), "pooling", "avg")
    return {"avg": "average", "max": "maximum"}[pooling]


def _build_loaders(cfg: Config, max_train: int, seed: int) -> tuple[DataLoader, DataLoader]:
    """Build the loader of the gallery and that of the test part, both with the test pipeline."""
    gallery_cfg = copy.deepcopy(cfg.test_dataloader)
    training = cfg.train_dataloader.dataset
    gallery_cfg.dataset.update(ann_file=training.ann_file, data_prefix=training.data_prefix)
    # The training list holds some unusable files: replaced by others, as in training.
    gallery_cfg.dataset.test_mode = False
    gallery = DATASETS.build(gallery_cfg.dataset)
    if len(gallery) > max_train:
        rows = np.random.default_rng(seed).permutation(len(gallery))[:max_train]
        gallery = gallery.get_subset(sorted(rows.tolist()))
    gallery_cfg.dataset = gallery
    return (
        Runner.build_dataloader(gallery_cfg, seed=seed),
        Runner.build_dataloader(cfg.test_dataloader, seed=seed),
    )


def _run_networks(
    networks: Networks, batches: Iterable[dict], fields: Sequence[str]
) -> tuple[dict[str, dict[str, Tensor]], list[dict]]:
    """Give each batch, decoded once, to all networks.

    Returns what each of them says of all samples, and the samples' meta information.
    """
    records: dict[str, list[dict]] = {name: [] for name in networks}
    metas = {}
    for batch in batches:
        metas.update({s.sample_idx: s.metainfo for s in batch["data_samples"]})
        for name, model in networks.items():
            samples = [sample.clone() for sample in batch["data_samples"]]
            with torch.no_grad():
                samples = model.test_step({**batch, "data_samples": samples})
            records[name] += feature_records(samples, fields)
    stacked = {name: stack_records(part) for name, part in records.items()}
    return stacked, [metas[index] for index in sorted(metas)]


def _draw_sheet(
    model: BaseModel, metas: Sequence[dict], truths: Sequence[dict], path: Path
) -> None:
    """Draw the first test video of each kind."""
    rows = {}
    for meta, truth in zip(metas, truths, strict=True):
        if truth["kind"] in rows:
            continue
        sample, inputs = inference(model, meta["filename"], return_inputs=True)
        boxes = true_boxes(model.cfg, sample.metainfo, truth)
        rows[truth["kind"]] = sheet_row(inputs, sample, truth["kind"], boxes, truth["band_hz"])
    ordered = [rows[kind] for kind in HARD_KINDS if kind in rows]
    attention_sheet(ordered, path, mel_frequencies(model.cfg), duration=metas[0]["audio_duration"])
