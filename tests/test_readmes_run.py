"""Commands of the READMEs that judge encoders, really run, on small data and with thin networks."""

import csv
import json
import os
import sys
from pathlib import Path

import pytest
import torch
from helpers.paths import ROOT
from helpers.processes import run as run_command
from helpers.readme_commands import blocks
from mmaction.registry import MODELS
from mmengine.registry import init_default_scope

from cmac_mm.evaluation import load_results
from cmac_mm.models import AudioResNet

THIN = ["model.backbone.base_channels=4", "model.backbone.stage_blocks=(1,1,1,1)"]
TRAINED = ["train_dataloader.num_workers=1", "train_dataloader.sampler.repeats=1"]
TESTED = ["test_dataloader.num_workers=1"]
# What is added to the options of a command, before those that it has, by a word of its config.
SMALLER = {
    "retrieval/": [
        *THIN,
        *TESTED,
        *(
            f"test_dataloader.dataset.{part}.pipeline.{option}"
            for part in ("gallery", "query")
            for option in ("1.num_clips=2", "2.clip_len=4", "3.crop_size=64")
        ),
    ],
    "audio/": [
        THIN[0],
        *TESTED,
        "test_dataloader.dataset.pipeline.1.num_clips=2",
        "evaluation.linear.epochs=2",
        "evaluation.linear.lr=[0.01]",
        "evaluation.svm.C=[0.001,0.1]",
    ],
    "recognition/": [*TRAINED, *TESTED],
    "linear_probe/": [
        *THIN,
        *TRAINED,
        *TESTED,
        "model.cls_head.in_channels=[4,8,16,32]",
        "train_dataloader.dataset.pipeline.4.scale=(64,64)",
        "test_dataloader.dataset.pipeline.1.num_clips=2",
        "test_dataloader.dataset.pipeline.2.short_side=72",
        "test_dataloader.dataset.pipeline.3.crop_size=64",
    ],
    "demo/": ["test_dataloader.num_workers=0"],
}
PYTHON = """#!{python}
import json, os, sys
smaller = json.loads({smaller!r})
args = sys.argv[1:]
if args[0].endswith("make_sounding_shapes.py"):
    args += ["--num-train", "64", "--num-test", "16", "--num-bad", "2"]
elif args[0].endswith(("evaluate.py", "train.py", "test.py")):
    extra = next((options for word, options in smaller.items() if word in args[1]), [])
    if "--cfg-options" not in args:
        args.append("--cfg-options")
    place = args.index("--cfg-options") + 1
    args[place:place] = extra
os.execv({python!r}, [{python!r}, *args])
"""


@pytest.fixture(scope="module")
def folder(media_dir, tmp_path_factory):
    """A checkout with data where the READMEs have it, and a thin checkpoint."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("tools", "configs"):
        (folder / name).symlink_to(ROOT / name)
    for name, source in {
        "ucf101/videos": "ucf101_mini/UCF-101",
        "ucf101/ucfTrainTestlist": "ucf101_mini/ucfTrainTestlist",
        "esc50/audio": "esc10_mini/audio",
    }.items():
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / name).symlink_to(media_dir / source)
    init_default_scope("mmaction")
    torch.manual_seed(0)
    state = {}
    for name, variant in (("cmac_k400/epoch_200", "torchvision"), ("avid", "avid")):
        options = dict(base_channels=4, stage_blocks=(1, 1, 1, 1), variant=variant)
        visual = MODELS.build(dict(type="R2Plus1D", **options))
        state = {f"visual_backbone.{key}": value for key, value in visual.state_dict().items()}
        audio = AudioResNet(base_channels=4).state_dict()
        state |= {f"audio_backbone.{key}": value for key, value in audio.items()}
        path = folder / ("checkpoints" if name == "avid" else "work_dirs") / f"{name}.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": state}, path)
    write_lists(folder, media_dir)
    python = folder / "programs/python"
    python.parent.mkdir()
    python.write_text(PYTHON.format(python=sys.executable, smaller=json.dumps(SMALLER)))
    python.chmod(0o755)
    return folder


def write_lists(folder, media_dir):
    """Lists of UCF101's three splits, all alike, and of ESC-10, in place of ESC-50 too."""
    lists = folder / "data/ucf101/ucfTrainTestlist"
    index = [line.split() for line in (lists / "classInd.txt").read_text().splitlines() if line]
    labels = {name: int(number) - 1 for number, name in index}
    annotations = folder / "data/ucf101/annotations"
    annotations.mkdir()
    (annotations / "classes.txt").write_text("".join(f"{name}\n" for name in labels))
    for part in ("train", "test"):
        names = (lists / f"{part}list01.txt").read_text().split()
        names = [name for name in names if name.endswith(".avi")]
        text = "".join(f"{name} {labels[name.split('/')[0]]}\n" for name in names[::5])
        for split in (1, 2, 3):
            (annotations / f"ucf101_{part}_split{split}.txt").write_text(text)
    with (media_dir / "esc10_mini/meta/esc50.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = {int(row["target"]): row["category"] for row in rows}
    classes = sorted(names)
    annotations = folder / "data/esc50/annotations"
    annotations.mkdir()
    for data in ("esc10", "esc50"):
        text = "".join(f"{names[target]}\n" for target in classes)
        (annotations / f"{data}_classes.txt").write_text(text)
        for fold in range(1, 6):
            lines = [
                f"{row['filename']} {classes.index(int(row['target']))}\n"
                for row in rows
                if int(row["fold"]) == fold
            ]
            (annotations / f"{data}_fold{fold}.txt").write_text("".join(lines))


def run(block, folder, *left_out):
    """Run a block of a README, but for lines with some words."""
    lines = [line for line in block.splitlines() if not any(word in line for word in left_out)]
    status, output = run_command(
        *("bash", "-e", "-c", "\n".join(lines)),
        cwd=folder,
        timeout=580,
        PATH=f"{folder / 'programs'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    )
    assert status == 0, output[-5000:]
    return output


def benchmarks(folder):
    return {result["benchmark"] for result in load_results(folder / "work_dirs")}


@pytest.mark.slow
def test_demo(folder):
    """The set, pretraining, the table, the test, and two ranks."""
    output = run(blocks("configs/demo/README.md")[0], folder)
    assert "| visual linear probe " in output and "retrieval/video_to_audio_R1" in output
    assert "sounding-shapes" in benchmarks(folder)


@pytest.mark.slow
def test_retrieval(folder):
    output = run(blocks("configs/retrieval/README.md")[0], folder)
    assert output.count("neighbours.png") == 3 and "no checkpoint: random weights" in output
    assert "ucf101-retrieval" in benchmarks(folder)


@pytest.mark.slow
def test_sounds(folder):
    # make_lists.py wants the whole of ESC-50; AVID's features are large.
    left_out = ("make_lists.py", "avid_resnet9", "evaluation.linear=None")
    output = run(blocks("configs/audio/README.md")[0], folder, *left_out)
    assert output.count("mean of the folds") == 4
    assert {"esc50-linear", "esc50-svm"} <= benchmarks(folder)


@pytest.mark.slow
def test_recognition(folder):
    output = run(blocks("configs/recognition/README.md")[1], folder, "make_lists.py")
    assert "| mean  |" in output
    assert "ucf101-finetune" in benchmarks(folder)


@pytest.mark.slow
def test_linear_probe_and_report(folder):
    output = run(blocks("configs/linear_probe/README.md")[1], folder)
    assert "| k400-linear | avid-8x224 | best_video_top1 |" in output
    assert (folder / "work_dirs/report.png").is_file()
