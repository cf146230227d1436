"""Scores of the demo: retrieval, linear probes and attention on the sounding shapes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmaction.registry import TRANSFORMS
from mmengine.config import Config, ConfigDict
from torch import Tensor

from ...evaluation.functional import (
    band_hit,
    box_region,
    boxes_in_crop,
    centre_maps,
    chance_recall,
    consensus_iou,
    filter_frequencies,
    linear_probe,
    localisation_scores,
    pointing_game,
    predicted_region,
    random_maps,
    recall_at_k,
)

ATTENTION_ROWS = {
    "guided_visual_attention": "pointing game, guided visual attention",
    "predicted_visual_attention": "pointing game, predicted visual attention",
    "guided_audio_attention": "band hit, guided audio attention",
    "predicted_audio_attention": "band hit, predicted audio attention",
}
_LOCALISATION = {"mean_cIoU": "mean cIoU", "AUC": "AUC of cIoU"}
_KS = (1, 5)
Results = dict[str, dict[str, Tensor]]  # by network, by field
Table = dict[str, dict[str, float]]  # by row, by column


def _pipeline_step(cfg: Config, name: str) -> ConfigDict:
    """The config of one transform of the test pipeline."""
    steps = [step for step in cfg.test_dataloader.dataset.pipeline if step.type == name]
    if len(steps) != 1:
        raise ValueError(f"{cfg.filename}: expected one {name} in the test pipeline: {len(steps)}")
    return steps[0]


def true_boxes(cfg: Config, meta: Mapping[str, Any], truth: Mapping[str, Any]) -> Tensor:
    """Read the boxes of the sounding object in the frames of a video, (N, T, 4)."""
    if tuple(meta["original_shape"]) != (truth["height"], truth["width"]):
        raise ValueError(
            f"{meta['filename']}: decoded at (height, width) {tuple(meta['original_shape'])}, its "
            f"ground truth is for {(truth['height'], truth['width'])}"
        )
    decode = _pipeline_step(cfg, "DecodeAudioVisual")
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
    """Compute the centre frequencies of the pipeline's mel filters, in Hz."""
    transform = TRANSFORMS.build(_pipeline_step(cfg, "LogMelSpectrogram"))
    filters = torch.from_numpy(transform.filters.toarray().T)
    return filter_frequencies(filters, transform.sample_rate)


def score_features(gallery: Results, test: Results) -> Table:
    """Compute retrieval and linear probes."""
    table: Table = {}
    labels = {name: (gallery[name]["label"], test[name]["label"]) for name in test}
    gallery_y, test_y = labels["trained"]
    chance = chance_recall(test_y, gallery_y, _KS)
    num_classes = len(gallery_y.unique())
    for modality in ("visual", "audio"):
        key = f"{modality}_feature"
        if key not in test["trained"]:
            continue
        recalls, probes = {}, {}
        for name in test:
            gallery_x, test_x = gallery[name][key], test[name][key]
            recalls[name] = recall_at_k(test_x, gallery_x, test_y, gallery_y, _KS)
            probes[name] = linear_probe(gallery_x, gallery_y, test_x, test_y).accuracy
        for k in _KS:
            row = {name: recall[k] for name, recall in recalls.items()}
            table[f"{modality} retrieval R@{k}"] = {"chance": chance[k], **row}
        table[f"{modality} linear probe"] = {"chance": 1 / num_classes, **probes}
    return table


def score_attention(
    cfg: Config, test: Results, metas: Sequence[dict], truths: Sequence[dict]
) -> tuple[Table, list[str]]:
    """Compute pointing game, band hits and cIoU, and the notes that explain them."""
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
    localisation, more = _score_localisation(cfg, test, boxes)
    return {**table, **localisation}, notes + more


def _score_localisation(cfg: Config, test: Results, boxes: Tensor) -> tuple[Table, list[str]]:
    """The cIoU of visual attention with boxes (N, T, 4), as on VGG-SS."""
    table: Table = {}
    notes: list[str] = []
    size = _pipeline_step(cfg, "DecodeAudioVisual").short_side
    for kind in ("guided", "predicted"):
        key = f"{kind}_visual_attention"
        maps = {name: fields[key].flatten(0, 1) for name, fields in test.items() if key in fields}
        if not maps:
            continue
        trained = maps["trained"]
        truths = _step_regions(boxes, trained.shape[1], size)
        seen = truths.any(dim=(1, 2))
        columns = {"chance": random_maps(trained.flatten(0, 1)), **maps}
        columns["centre"] = centre_maps(trained.flatten(0, 1))
        scores = {}
        for name, attention in columns.items():
            regions = predicted_region(attention.flatten(0, -3)[seen], size)
            scores[name] = localisation_scores(consensus_iou(regions, truths[seen]))
        centre = scores.pop("centre")
        for score, title in _LOCALISATION.items():
            table[f"{title}, {kind} visual attention"] = {
                name: values[score] for name, values in scores.items()
            }
        if notes:
            continue
        area = truths[seen].double().mean(dim=(1, 2))
        # The predicted half holds the object, or is within it.
        best = localisation_scores(torch.minimum(2 * area, 0.5 / area))
        notes.append(
            f"cIoU: the predicted half of the picture against objects of {area.mean():.1%} of it, "
            f"so that the best map would have a mean of {best['mean_cIoU']:.1%} and an AUC of "
            f"{best['AUC']:.1%}, and {best['cIoU']:.1%} of the maps could reach 0.5, the field's "
            f"headline; the middle of the picture: {centre['mean_cIoU']:.1%} and "
            f"{centre['AUC']:.1%}. Chance: random maps."
        )
    return table, notes


def _step_regions(boxes: Tensor, num_steps: int, size: int) -> Tensor:
    """Where the object is during each time step of a map, (N * num_steps, size, size)."""
    step = torch.arange(boxes.shape[1]) * num_steps // boxes.shape[1]
    regions = [box_region(boxes[:, step == number], size) for number in range(num_steps)]
    return torch.stack(regions, dim=1).flatten(0, 1)


def format_table(table: Table, notes: Sequence[str]) -> str:
    """Format the table to be printed."""
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
