"""Converted checkpoints of all sources on real videos and recordings, with thin networks."""

import csv
import json
import sys

import pytest
from helpers.paths import ROOT
from helpers.peer_files import LAYOUTS, write_thin
from helpers.processes import run as run_command
from helpers.thin_released import thin_config

from cmac_mm.utils import write_checkpoint
from cmac_mm.zoo import FORMATS, read_released

pytestmark = pytest.mark.slow
WITH_SOUND = ("avid", "gdt", "selavi")
FINETUNING = "cmac_mm::recognition/cmac_r2plus1d-18_1xb16-32x128-12e_ucf101.py"
RETRIEVAL = "cmac_mm::retrieval/cmac_r2plus1d-18_32x128_ucf101.py"
SOUND = "cmac_mm::audio/cmac_resnet9_10x2s_esc10.py"
THIN = {"model.backbone.base_channels": 8}


@pytest.fixture(scope="module")
def folder(media_dir, tmp_path_factory):
    """Lists of videos and recordings, and a converted file of each source."""
    folder = tmp_path_factory.mktemp("peers")
    videos = media_dir / "ucf101_mini/UCF-101"
    files = sorted(f"{path.parent.name}/{path.name}" for path in videos.glob("*/*.avi"))
    labels = {name: number for number, name in enumerate(sorted({f.split("/")[0] for f in files}))}
    for name, part in (("train", files[::4]), ("test", files[1::8])):
        lines = "".join(f"{videos / file} {labels[file.split('/')[0]]}\n" for file in part)
        (folder / f"{name}.txt").write_text(lines)
    annotations = folder / "data/esc50/annotations"
    annotations.mkdir(parents=True)
    (folder / "data/esc50/audio").symlink_to(media_dir / "esc10_mini/audio")
    with (media_dir / "esc10_mini/meta/esc50.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = {int(row["target"]): row["category"] for row in rows}
    for fold in range(1, 6):
        lines = [
            f"{row['filename']} {sorted(names).index(int(row['target']))}\n"
            for row in rows
            if int(row["fold"]) == fold
        ]
        (annotations / f"esc10_fold{fold}.txt").write_text("".join(lines))
    (annotations / "esc10_classes.txt").write_text(
        "".join(f"{names[target]}\n" for target in sorted(names))
    )
    for source in LAYOUTS:
        write_thin(source, folder / "theirs.pth")
        _, _, weights = read_released(folder / "theirs.pth", cfg=thin_config(source, 8))
        meta = dict(format=source, config=FORMATS[source].config)
        write_checkpoint(folder / f"{source}.pth", weights, meta)
    return folder


def evaluate(folder, config, source, *args, **options):
    name = f"{source}-{config.split('/')[0].split('::')[1]}"
    status, output = run_command(
        sys.executable,
        ROOT / "tools/evaluate.py",
        *(config, f"{source}.pth", "--work-dir", name, *args, "--cfg-options"),
        *(f"{key}={value}" for key, value in {**THIN, **options}.items()),
        cwd=folder,
    )
    assert status == 0, output
    return folder / name


@pytest.mark.parametrize("source", LAYOUTS)
def test_fine_tuning(source, folder):
    options = {"model.cls_head.in_channels": 64, "model.cls_head.num_classes": 7}
    options |= {"train_cfg.max_epochs": 1, "train_dataloader.sampler.repeats": 1}
    for part, crop in (("train", "size"), ("test", "crop_size")):
        loader = f"{part}_dataloader"
        options |= {
            f"{loader}.num_workers": 1,
            f"{loader}.batch_size": 4,
            f"{loader}.dataset.ann_file": f"{part}.txt",
            f"{loader}.dataset.data_prefix.video": "''",
            f"{loader}.dataset.pipeline.2.clip_len": 8,
            f"{loader}.dataset.pipeline.2.short_side": 56,
            f"{loader}.dataset.pipeline.3.{crop}": 48,
        }
    options["test_dataloader.dataset.pipeline.1.num_clips"] = 2
    work_dir = evaluate(folder, FINETUNING, source, "--splits", "1", **options)
    result = json.loads((work_dir / "ucf101-finetune.json").read_text())
    assert 0 <= result["metrics"]["top1"] <= 1
    log = "".join(path.read_text() for path in (work_dir / "split1").glob("*/*.log"))
    assert f"starts from visual_backbone.* of {source}.pth" in log
    losses = [
        json.loads(line)["loss"]
        for path in (work_dir / "split1").glob("*/vis_data/*.json")
        for line in path.read_text().splitlines()
        if '"loss"' in line
    ]
    assert losses and all(0 < loss < 100 for loss in losses)


@pytest.mark.parametrize("source", LAYOUTS)
def test_retrieval(source, folder):
    options = {"test_dataloader.num_workers": 1, "evaluation.class_file": None}
    for part, name in (("gallery", "train"), ("query", "test")):
        dataset = f"test_dataloader.dataset.{part}"
        options |= {
            f"{dataset}.ann_file": f"{name}.txt",
            f"{dataset}.data_prefix.video": "''",
            f"{dataset}.pipeline.1.num_clips": 2,
            f"{dataset}.pipeline.2.clip_len": 8,
            f"{dataset}.pipeline.3.crop_size": 64,
        }
    work_dir = evaluate(folder, RETRIEVAL, source, **options)
    result = json.loads((work_dir / "ucf101-retrieval.json").read_text())
    assert 0 <= result["metrics"]["R@1"] <= result["metrics"]["R@5"] <= 1


@pytest.mark.parametrize("source", WITH_SOUND)
def test_esc10(source, folder):
    """Random weights hear something too: much better than one in ten."""
    work_dir = evaluate(
        folder,
        SOUND,
        source,
        **{
            "test_dataloader.num_workers": 1,
            "test_dataloader.dataset.pipeline.1.num_clips": 3,
            "evaluation.linear": None,
            "evaluation.svm.C": "[0.001,0.1]",
        },
    )
    result = json.loads((work_dir / "esc10-svm.json").read_text())
    assert result["metrics"]["top1"] > 0.25
