"""Judge a network trained on the sounding shapes: python tools/evaluate_demo.py CONFIG CHECKPOINT.

Runs the trained network and the same network untrained over the test part and a seeded part of the
training part (the gallery), and prints and writes one table: retrieval and linear probes of both
modalities, and how often attention meets the sounding object, each against chance. Then draws a
sheet of pictures, one test video of each kind.

The untrained network has weights drawn with the seed, as its training would start from, and batch
norm statistics taken from a few training batches, as a trained network has them.
"""

import argparse
import copy
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config file, or cmac_mm::NAME")
    parser.add_argument("checkpoint", help="checkpoint of the trained network")
    parser.add_argument("--out", type=Path, help="folder for the results (the checkpoint's)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the untrained network and the gallery (0)"
    )
    parser.add_argument(
        "--max-train", type=int, default=1024, help="training videos in the gallery (1024)"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="set variables or override fields of the config, e.g. test_dataloader.num_workers=0",
    )
    args = parser.parse_args()
    if args.max_train < 16:
        parser.error(f"--max-train {args.max_train}: expected 16 or more videos to learn from")
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

import numpy as np
import torch
from mmaction.registry import DATASETS, TRANSFORMS
from mmengine.device import get_device
from mmengine.model import BaseModel
from mmengine.runner import Runner, set_random_seed
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from cmac_mm.apis import inference, init_model
from cmac_mm.evaluation.functional import (
    band_hit,
    boxes_in_crop,
    chance_recall,
    filter_frequencies,
    linear_probe,
    pointing_game,
    recall_at_k,
)
from cmac_mm.features import calibrate_batch_norm
from cmac_mm.features.extract import FEATURE_FIELDS, feature_records, stack_records
from cmac_mm.preparation.sounding_shapes import SHAPE_KINDS, read_ground_truth
from cmac_mm.utils import load_config, write_text
from cmac_mm.visualization import attention_sheet, sheet_row

ATTENTION_ROWS = {
    "guided_visual_attention": "pointing game, guided visual attention",
    "predicted_visual_attention": "pointing game, predicted visual attention",
    "guided_audio_attention": "band hit, guided audio attention",
    "predicted_audio_attention": "band hit, predicted audio attention",
}
CALIBRATION_BATCHES = 8
KS = (1, 5)
Networks = dict[str, BaseModel]
Results = dict[str, dict[str, Tensor]]  # by network, by field
Table = dict[str, dict[str, float]]  # by row, by column


def build_loaders(cfg: Config, max_train: int, seed: int) -> tuple[DataLoader, DataLoader]:
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


def run_networks(
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


def pipeline_step(cfg: Config, name: str) -> ConfigDict:
    """The config of one transform of the test pipeline."""
    steps = [step for step in cfg.test_dataloader.dataset.pipeline if step.type == name]
    if len(steps) != 1:
        raise ValueError(f"{cfg.filename}: expected one {name} in the test pipeline: {len(steps)}")
    return steps[0]


def true_boxes(cfg: Config, meta: Mapping[str, Any], truth: Mapping[str, Any]) -> Tensor:
    """Boxes of the sounding object in each frame that the network sees of a video, (N, T, 4)."""
    if tuple(meta["original_shape"]) != (truth["height"], truth["width"]):
        raise ValueError(
            f"{meta['filename']}: decoded at (height, width) {tuple(meta['original_shape'])}, its "
            f"ground truth is for {(truth['height'], truth['width'])}"
        )
    decode = pipeline_step(cfg, "DecodeAudioVisual")
    frames = torch.arange(decode.clip_len, dtype=torch.float64)
    times = torch.tensor(meta["clip_start"], dtype=torch.float64)[:, None] + frames / decode.fps
    return boxes_in_crop(
        torch.tensor(truth["boxes"]),
        truth["fps"],
        times,
        meta["original_shape"],
        meta.get("crop_quadruple", (0, 0, 1, 1)),
        meta.get("flip", False),
    )


def mel_frequencies(cfg: Config) -> Tensor:
    """Centre frequencies of the mel filters that the network hears through, Hz."""
    transform = TRANSFORMS.build(pipeline_step(cfg, "LogMelSpectrogram"))
    filters = torch.from_numpy(transform.filters.toarray().T)
    return filter_frequencies(filters, transform.sample_rate)


def score_features(gallery: Results, test: Results) -> Table:
    """Retrieval and linear probes."""
    table: Table = {}
    labels = {name: (gallery[name]["label"], test[name]["label"]) for name in test}
    gallery_y, test_y = labels["trained"]
    chance = chance_recall(test_y, gallery_y, KS)
    num_classes = len(gallery_y.unique())
    for modality in ("visual", "audio"):
        key = f"{modality}_feature"
        if key not in test["trained"]:
            continue
        recalls, probes = {}, {}
        for name in test:
            gallery_x, test_x = gallery[name][key], test[name][key]
            recalls[name] = recall_at_k(test_x, gallery_x, test_y, gallery_y, KS)
            probes[name] = linear_probe(gallery_x, gallery_y, test_x, test_y).accuracy
        for k in KS:
            row = {name: recall[k] for name, recall in recalls.items()}
            table[f"{modality} retrieval R@{k}"] = {"chance": chance[k], **row}
        table[f"{modality} linear probe"] = {"chance": 1 / num_classes, **probes}
    return table


def score_attention(
    cfg: Config, test: Results, metas: Sequence[dict], truths: Sequence[dict]
) -> tuple[Table, list[str]]:
    """Pointing game and band hits; also what one must know to read them."""
    table: Table = {}
    notes = []
    samples = zip(metas, truths, strict=True)
    boxes = torch.cat([true_boxes(cfg, meta, truth) for meta, truth in samples])
    bands = torch.tensor([truth["band_hz"] for truth in truths])
    mels = mel_frequencies(cfg)
    for key, title in ATTENTION_ROWS.items():
        results = {}
        for name, fields in test.items():
            if key not in fields:
                continue
            maps = fields[key].flatten(0, 1)  # (samples, clips, ...) to (samples * clips, ...)
            if "visual" in key:
                results[name] = pointing_game(maps, boxes)
            else:
                clips = fields[key].shape[1]
                results[name] = band_hit(maps, bands.repeat_interleave(clips, dim=0), mels)
        if not results:
            continue
        trained = results["trained"]
        hits = {name: result.hit_rate for name, result in results.items()}
        table[title] = {"chance": trained.chance, **hits}
        size = " x ".join(str(n) for n in test["trained"][key].shape[2:])
        note = f"{title}: maps of {size}, the best cell would score {trained.ceiling:.1%}"
        if trained.centre is not None:
            note += (
                f", the middle of the picture {trained.centre:.1%}; {trained.count} maps judged, "
                f"{trained.skipped} skipped (object outside the crop)"
            )
        notes.append(f"{note}.")
    return table, notes


def to_markdown(table: Table, notes: Sequence[str]) -> str:
    """The table for people."""
    width = max(len(title) for title in table)
    lines = [
        f"| {'%':{width}} | chance | untrained | trained | trained / untrained |",
        f"|{'-' * (width + 2)}|-------:|----------:|--------:|--------------------:|",
    ]
    for title, row in table.items():
        chance, untrained, trained = (100 * row[key] for key in ("chance", "untrained", "trained"))
        ratio = f"{trained / untrained:.2f}" if untrained else "-"
        lines.append(
            f"| {title:{width}} | {chance:6.1f} | {untrained:9.1f} | {trained:7.1f} | {ratio:>19} |"
        )
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def draw_sheet(model: BaseModel, metas: Sequence[dict], truths: Sequence[dict], path: Path) -> None:
    """Draw the first test video of each kind."""
    rows = {}
    for meta, truth in zip(metas, truths, strict=True):
        if truth["kind"] in rows:
            continue
        sample, inputs = inference(model, meta["filename"], return_inputs=True)
        boxes = true_boxes(model.cfg, sample.metainfo, truth)
        rows[truth["kind"]] = sheet_row(inputs, sample, truth["kind"], boxes, truth["band_hz"])
    ordered = [rows[kind] for kind in SHAPE_KINDS if kind in rows]
    attention_sheet(ordered, path, mel_frequencies(model.cfg), duration=metas[0]["audio_duration"])


def main(args: argparse.Namespace) -> None:
    """Judge as the command line says."""
    cfg = load_config(args.config, args.cfg_options)
    out = args.out or Path(args.checkpoint).parent
    out.mkdir(parents=True, exist_ok=True)
    networks: Networks = {"trained": init_model(cfg, args.checkpoint, get_device())}
    set_random_seed(args.seed)
    networks = {"untrained": init_model(cfg, device=get_device()), **networks}

    gallery_loader, test_loader = build_loaders(cfg, args.max_train, args.seed)
    batches = iter(track(gallery_loader, "training videos", total=len(gallery_loader)))
    first = list(itertools.islice(batches, CALIBRATION_BATCHES))
    calibrate_batch_norm(networks["untrained"], first)
    gallery, _ = run_networks(networks, itertools.chain(first, batches), FEATURE_FIELDS)
    test, metas = run_networks(
        networks,
        track(test_loader, "test videos", total=len(test_loader)),
        (*FEATURE_FIELDS, *ATTENTION_ROWS),
    )
    truths = [read_ground_truth(meta["filename"]) for meta in metas]

    table = score_features(gallery, test)
    attention_table, notes = score_attention(cfg, test, metas, truths)
    table.update(attention_table)
    counts = {"gallery": len(gallery["trained"]["label"]), "test": len(metas)}
    notes.insert(
        0,
        f"{counts['test']} test videos; gallery and probes' training part: {counts['gallery']} "
        f"training videos. Untrained: seed {args.seed}, batch norm calibrated on "
        f"{len(first)} training batches.",
    )
    text = to_markdown(table, notes)
    print(f"\n{text}")
    write_text(out / "evaluation.md", text)
    result = {"seed": args.seed, "videos": counts, "table": table, "notes": notes}
    write_text(out / "evaluation.json", json.dumps(result, indent=2))
    draw_sheet(networks["trained"], metas, truths, out / "attention_sheet.png")
    print(f"written: {out}/evaluation.md, evaluation.json, attention_sheet.png")


if __name__ == "__main__":
    main(ARGS)
