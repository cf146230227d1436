"""Show what the network really sees: python tools/data/browse_dataset.py CONFIG.

Draws samples of the config's data set, takes them through its pipeline and the augmentation on the
device (colour jitter), and puts frames and log-mel spectrograms side by side on a sheet, one row a
clip. With --videos each clip is also saved as a small mp4 with its sound.
"""

import argparse
from pathlib import Path

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config file, or cmac_mm::NAME")
    parser.add_argument(
        "--part",
        default="train",
        choices=["train", "val", "test"],
        help="whose dataloader, with its pipeline (train)",
    )
    parser.add_argument("--num", type=int, default=8, help="samples (8)")
    parser.add_argument("--max-clips", type=int, default=3, help="clips shown of a sample (3)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice and the draws (0)")
    parser.add_argument(
        "--out", type=Path, help="picture to write (work_dirs/browse/CONFIG_PART.png)"
    )
    parser.add_argument("--videos", type=Path, help="also save the clips as mp4 in this folder")
    parser.add_argument("--classes", type=Path, help="text file of the classes, one a line")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="set variables or override fields of the config, e.g. ann_file_train=list.txt",
    )
    args = parser.parse_args()
    if args.num < 1 or args.max_clips < 1:
        parser.error("--num and --max-clips must be at least 1")
    return args


if __name__ == "__main__":
    ARGS = parse_args()  # before the imports that take seconds

import numpy as np
import torch
from mmaction.registry import DATASETS, MODELS
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed
from rich.progress import Progress
from torch import Tensor

from cmac_mm.datasets import AudioVisualDataset, LogMelSpectrogram, MediaError
from cmac_mm.evaluation.functional import filter_frequencies
from cmac_mm.utils import load_config, read_classes
from cmac_mm.visualization import SeenClip, browse_sheet, look, save_clip


def build_dataset(cfg: Config, part: str) -> object:
    """Build the data set of a part, without what repeats or balances it."""
    loader = cfg.get(f"{part}_dataloader")
    if loader is None:
        raise ValueError(f"{cfg.filename}: there is no {part}_dataloader")
    dataset = loader.dataset
    while "pipeline" not in dataset and "dataset" in dataset:
        dataset = dataset.dataset
    return DATASETS.build(dataset)


def mel_frequencies(dataset: object) -> Tensor | None:
    """Centres of the mel filters of a pipeline, Hz."""
    for transform in dataset.pipeline.transforms:
        if isinstance(transform, LogMelSpectrogram):
            filters = torch.from_numpy(transform.filters.toarray().T)
            return filter_frequencies(filters, transform.sample_rate)
    return None


def choose(clips: list[SeenClip], count: int) -> list[int]:
    """Which clips of a sample to show: evenly spread ones."""
    return sorted({round(k) for k in np.linspace(0, len(clips) - 1, min(count, len(clips)))})


def main(args: argparse.Namespace) -> None:
    """Draw what the command line asks for."""
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get("default_scope", "mmaction"))
    set_random_seed(args.seed)
    dataset = build_dataset(cfg, args.part)
    device_side = cfg.model.get("data_preprocessor")
    device_side = device_side and MODELS.build(device_side)
    classes = read_classes(args.classes) if args.classes else None
    if classes and isinstance(dataset, AudioVisualDataset):
        dataset.check_labels(len(classes))
    shown: list[SeenClip] = []
    samples, refused = 0, []
    with Progress(transient=True) as progress:
        task = progress.add_task("samples", total=min(args.num, len(dataset)))
        for index in np.random.default_rng(args.seed).permutation(len(dataset)).tolist():
            try:
                clips = look(dataset, index, device_side, args.part == "train", classes)
            except MediaError as error:
                refused.append(str(error))
                continue
            for k in choose(clips, args.max_clips):
                shown.append(clips[k])
                if args.videos and clips[k].frames is not None:
                    name = Path(dataset.get_data_info(index)["filename"]).stem
                    save_clip(clips[k], args.videos / f"{samples:02d}_{name}_clip{k}.mp4")
            samples += 1
            progress.update(task, advance=1)
            if samples == args.num:
                break
    for reason in refused:
        print(f"not usable: {reason}")
    if not shown:
        raise ValueError(f"{cfg.filename}: none of the {len(dataset)} files can be used")
    name = Path(args.config.split("::")[-1]).stem
    out = args.out or Path("work_dirs/browse", f"{name}_{args.part}.png")
    browse_sheet(shown, out, mel_frequencies(dataset))
    print(f"{samples} samples, {len(shown)} clips shown: {out}")
    if args.videos:
        print(f"videos: {args.videos}")


if __name__ == "__main__":
    main(ARGS)
