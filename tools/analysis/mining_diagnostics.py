"""What AVID's memory banks and positives are worth.

    python tools/analysis/mining_diagnostics.py CHECKPOINT --ann-file LIST

Prints and writes (diagnostics.json): the mean dot product of different rows of each bank; the share
of a video's neighbours by picture that are also neighbours by sound; and, where the list has
labels, the precision of the positives, those in the checkpoint and those that cross-modal agreement
and each of the expansion baselines find in its banks. Draws a sheet (agreement.png) of videos with
their positives and with what looks alike but was rejected for its sound.
"""

import argparse
import json
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="checkpoint of an AVID model")
    parser.add_argument(
        "--ann-file", required=True, help="the list it was trained on: lines 'path label' or 'path'"
    )
    parser.add_argument(
        "--prefix", default="", help="folder that paths in the list are relative to ('')"
    )
    parser.add_argument("--num-positives", type=int, default=32, help="K, positives a video (32)")
    parser.add_argument(
        "--num-rows", type=int, default=5000, help="videos looked at, drawn at random (5000)"
    )
    parser.add_argument(
        "--sheet-rows", type=int, default=6, help="videos on the sheet; 0 for no sheet (6)"
    )
    parser.add_argument(
        "--classes", type=Path, help="file with a class name a line (default: none)"
    )
    parser.add_argument(
        "--out-dir",
        type=Path,
        help="folder for the results (default: mining_diagnostics beside the checkpoint)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the choice of videos (0)")
    parser.add_argument(
        "--device", default="cpu", help="where the similarities are computed, cpu or cuda (cpu)"
    )
    args = parser.parse_args()
    for name in ("num_positives", "num_rows"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    args.out_dir = args.out_dir or Path(args.checkpoint).parent / "mining_diagnostics"
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

import numpy as np
import torch
from mmaction.registry import DATASETS
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.table import Table
from torch import Tensor

import cmac_mm  # noqa: F401
from cmac_mm.evaluation.functional import (
    mean_dot_product,
    neighbour_agreement,
    pair_similarities,
    positive_precision,
    rejected_negatives,
    sample_rows,
)
from cmac_mm.mining import mine_positives
from cmac_mm.utils import load_checkpoint, read_classes, weights_of, write_text
from cmac_mm.visualization import AgreementCell, AgreementRow, agreement_sheet, middle_frame

MODES = {
    "min": "agreement of both",
    "visual": "by picture",
    "audio": "by sound",
    "max": "by either",
}


def load_banks(path: str, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """Banks of both modalities and the positives of a checkpoint."""
    state = weights_of(load_checkpoint(path), path)
    keys = ("banks.visual.entries", "banks.audio.entries", "positives")
    missing = [key for key in keys if key not in state]
    if missing:
        raise ValueError(f"{path} lacks {missing}: expected a checkpoint of an AVID model")
    return tuple(state[key].to(device) for key in keys)


def read_list(args: argparse.Namespace, num_videos: int) -> tuple[list[str], Tensor]:
    """Files and labels of the list, -1 where there is none."""
    init_default_scope("mmaction")
    dataset = DATASETS.build(
        dict(
            type="AudioVisualDataset",
            ann_file=args.ann_file,
            data_prefix=dict(video=args.prefix),
            pipeline=[],
        )
    )
    if len(dataset) != num_videos:
        raise ValueError(
            f"{args.ann_file} lists {len(dataset)} videos, the banks in {args.checkpoint} have "
            f"{num_videos}: expected the list that it was trained on"
        )
    infos = [dataset.get_data_info(row) for row in range(len(dataset))]
    labels = torch.tensor([info.get("label", -1) for info in infos])
    return [info["filename"] for info in infos], labels


def diagnose(
    visual: Tensor, audio: Tensor, stored: Tensor, labels: Tensor, args: argparse.Namespace
) -> tuple[dict, Tensor, Tensor]:
    """All figures, the videos looked at, and their positives."""
    agreement = neighbour_agreement(visual, audio, args.num_positives, args.num_rows, args.seed)
    result = {
        "checkpoint": args.checkpoint,
        "ann_file": args.ann_file,
        "num_videos": len(visual),
        "num_rows": min(args.num_rows, len(visual)),
        "num_positives": args.num_positives,
        "visual_mean_dot": mean_dot_product(visual),
        "audio_mean_dot": mean_dot_product(audio),
        "neighbour_agreement": agreement["neighbour_agreement"],
        "neighbour_agreement_chance": agreement["chance"],
    }
    rows = sample_rows(len(visual), args.num_rows, args.seed)
    mined = {
        mode: mine_positives(
            visual, audio, args.num_positives, mode, rows=rows.to(visual.device)
        ).cpu()
        for mode in MODES
    }
    if bool((labels >= 0).any()):
        chosen = {f"mined, {MODES[mode]}": found for mode, found in mined.items()}
        if bool((stored >= 0).any()):
            chosen = {"in the checkpoint": stored.cpu()[rows], **chosen}
        result["precision"] = {
            name: positive_precision(found, labels, rows=rows) for name, found in chosen.items()
        }
    return result, rows, mined["min"]


def print_result(result: dict) -> None:
    """The figures for people."""
    console = Console(width=100)
    print(f"{result['num_videos']} videos, {result['num_rows']} of them looked at")
    table = Table(show_header=False)
    for name, text in (
        ("visual_mean_dot", "mean dot product of two rows, visual bank"),
        ("audio_mean_dot", "mean dot product of two rows, audio bank"),
        ("neighbour_agreement", f"shared of {result['num_positives']} neighbours, picture / sound"),
        ("neighbour_agreement_chance", "  by chance"),
    ):
        table.add_row(text, f"{result[name]:.4f}")
    console.print(table)
    if "precision" not in result:
        print("the list has no labels: no precision")
        return
    columns = list(next(iter(result["precision"].values())))
    table = Table("positives, %", *(name.removeprefix("precision") for name in columns))
    for name, values in result["precision"].items():
        table.add_row(name, *(f"{100 * value:.2f}" for value in values.values()))
    console.print(table)


def draw(
    visual: Tensor,
    audio: Tensor,
    rows: Tensor,
    positives: Tensor,
    files: list[str],
    labels: Tensor,
    args: argparse.Namespace,
) -> Path:
    """The sheet, of videos spread evenly over those looked at."""
    picked = torch.from_numpy(
        np.linspace(0, len(rows) - 1, min(args.sheet_rows, len(rows))).round().astype(int)
    )
    rows, positives = rows[picked].to(visual.device), positives[picked].to(visual.device)
    negatives = rejected_negatives(visual, audio, positives, rows).to(visual.device)
    classes = read_classes(args.classes) if args.classes else []

    def title(row: int) -> str:
        label = int(labels[row])
        if label < 0:
            return Path(files[row]).stem[:16]
        return classes[label] if label < len(classes) else f"class {label}"

    def cells(reference: int, columns: Tensor) -> list[AgreementCell]:
        columns = columns[columns >= 0][None]
        similarities = [
            pair_similarities(bank, columns.new_tensor([reference]), columns)[0].tolist()
            for bank in (visual, audio)
        ]
        known = int(labels[reference]) >= 0
        return [
            AgreementCell(
                middle_frame(files[i]),
                title(i),
                *values,
                right=bool(labels[i] == labels[reference]) if known else None,
            )
            for i, *values in zip(columns[0].tolist(), *similarities, strict=True)
        ]

    sheet = [
        AgreementRow(
            middle_frame(files[row]), title(row), cells(row, own[:3]), cells(row, rejected)
        )
        for row, own, rejected in zip(rows.tolist(), positives, negatives, strict=True)
    ]
    path = args.out_dir / "agreement.png"
    agreement_sheet(sheet, path)
    return path


def main(args: argparse.Namespace) -> None:
    """Run as the command line says."""
    visual, audio, stored = load_banks(args.checkpoint, args.device)
    files, labels = read_list(args, len(visual))
    result, rows, positives = diagnose(visual, audio, stored, labels, args)
    print_result(result)
    written = [args.out_dir / "diagnostics.json"]
    write_text(written[0], json.dumps(result, indent=2) + "\n")
    if args.sheet_rows > 0:
        written.append(draw(visual, audio, rows, positives, files, labels, args))
    print(f"written: {', '.join(str(path) for path in written)}")


if __name__ == "__main__":
    main(ARGS)
