"""The linear probe as a user runs it: train, test, on one and on two ranks, and its report."""

import json
import pickle
import subprocess
import sys

import pytest
import torch
from helpers.paths import ROOT
from helpers.processes import run as run_command
from mmaction.registry import MODELS

import cmac_mm
from cmac_mm.utils import load_checkpoint

CONFIG = "cmac_mm::linear_probe/avid_r2plus1d-18_8xb16-8x224-12e_k400.py"
EVALUATE = ROOT / "tools/evaluate.py"
BACKBONE = dict(variant="avid", base_channels=8, stage_blocks=(1, 1, 1, 1))
OPTIONS = [
    "model.backbone.base_channels=8",
    "model.backbone.stage_blocks=[1,1,1,1]",
    "model.cls_head.in_channels=[8,16,32,64]",
    "model.cls_head.num_classes=5",
    "train_dataloader.dataset.pipeline.3.scale=(72,72)",
    "train_dataloader.dataset.pipeline.4.size=64",
    "train_dataloader.dataset.ann_file=train.txt",
    "train_dataloader.batch_size=4",
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=False",
    "test_dataloader.dataset.pipeline.1.num_clips=3",
    "test_dataloader.dataset.pipeline.3.scale=(72,72)",
    "test_dataloader.dataset.pipeline.4.crop_size=64",
    "test_dataloader.dataset.ann_file=test.txt",
    "train_cfg.max_epochs=1",
    "default_hooks.checkpoint.max_keep_ckpts=1",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, media_dir):
    """A pretrained encoder, lists of 8 and 7 videos, and the probes trained for one epoch."""
    folder = tmp_path_factory.mktemp("linear probe")
    torch.manual_seed(0)
    encoder = MODELS.build(dict(type="R2Plus1D", **BACKBONE))
    encoder.init_weights()
    for key, value in encoder.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
    state = {f"visual_backbone.{key}": value for key, value in encoder.state_dict().items()}
    torch.save(dict(state_dict=state), folder / "pretrained.pth")

    videos = media_dir / "ucf101_mini/UCF-101"
    classes = sorted(path.name for path in videos.iterdir())
    files = [
        f"{name}/{file.name}" for name in classes for file in sorted((videos / name).iterdir())
    ]
    for name, chosen in (("train", files[::8]), ("test", files[4::9])):
        lines = [f"{file} {classes.index(file.split('/')[0])}\n" for file in chosen]
        (folder / f"{name}.txt").write_text("".join(lines))
    assert len(files[::8]) == 8 and len(files[4::9]) == 7
    prefixes = [
        f"{part}_dataloader.dataset.data_prefix.video={videos}" for part in ("train", "test")
    ]
    options = [*OPTIONS, *prefixes]
    (folder / "options.json").write_text(json.dumps(options))
    args = [CONFIG, "pretrained.pth", "--work-dir", "probe", "--seed", 1]
    (folder / "output.txt").write_text(run(folder, sys.executable, EVALUATE, *args))
    return folder


def run(folder, *command, options=()):
    options = [*json.loads((folder / "options.json").read_text()), *options]
    status, output = run_command(*command, "--cfg-options", *options, cwd=folder)
    assert status == 0, output
    return output


def judge(folder, name, *command, options):
    """Run a test; returns its predictions in list order, and its result."""
    dump = folder / f"{name}.pkl"
    run(
        folder,
        *command,
        *("--work-dir", name, "--dump", dump),
        options=options,
    )
    predictions = pickle.loads(dump.read_bytes())
    result = json.loads((folder / name / "k400-linear.json").read_text())
    return sorted(predictions, key=lambda sample: sample["sample_idx"]), result


def test_training_leaves_the_encoder_as_it_was(folder):
    trained = load_checkpoint(folder / "probe/epoch_1.pth")["state_dict"]
    pretrained = load_checkpoint(folder / "pretrained.pth")["state_dict"]
    encoder = {k: v for k, v in trained.items() if k.startswith("backbone.")}
    assert len(encoder) == len(pretrained)
    for key, value in pretrained.items():
        assert torch.equal(encoder[key.replace("visual_backbone.", "backbone.")], value), key
    assert trained["cls_head.probes.3.2.num_batches_tracked"] == 2


def test_training_and_test_by_one_command(folder):
    result = json.loads((folder / "probe/k400-linear.json").read_text())
    assert (result["checkpoint"], result["seed"]) == ("pretrained.pth", 1)
    assert result["model"].endswith("probe/epoch_1.pth")
    figures = "".join(f" {100 * value:10.2f} |" for value in result["metrics"].values())
    assert f"|{figures}" in (folder / "output.txt").read_text()
    args = [CONFIG, "pretrained.pth", "--work-dir", "probe", "--seed", 1]
    again = run(folder, sys.executable, EVALUATE, *args)
    assert "whole is done" in again and "train.py" not in again
    assert f"|{figures}" in again
    changed = [CONFIG, "pretrained.pth", "--work-dir", "probe", "--seed", 2]
    with pytest.raises(AssertionError, match="another seed: choose another --work-dir"):
        run(folder, sys.executable, EVALUATE, *changed)


@pytest.mark.slow
def test_any_ranks_workers_and_batches_give_the_same(folder):
    loader = ("test_dataloader.num_workers={}", "test_dataloader.persistent_workers={}")
    one, result = judge(
        folder,
        "one",
        *(sys.executable, ROOT / "tools/test.py", CONFIG, "probe/epoch_1.pth"),
        options=["test_dataloader.batch_size=4", loader[0].format(0), loader[1].format(False)],
    )
    two, result_of_two = judge(
        folder,
        "two",
        *("bash", ROOT / "tools/dist_test.sh", CONFIG, "probe/epoch_1.pth", 2),
        options=["test_dataloader.batch_size=1", loader[0].format(1), loader[1].format(True)],
    )
    assert [sample["sample_idx"] for sample in one] == list(range(7))
    assert [sample["sample_idx"] for sample in two] == list(range(7))
    for a, b in zip(one, two, strict=True):
        assert a["block_scores"].shape == (4, 3, 5)
        torch.testing.assert_close(a["block_scores"], b["block_scores"], rtol=1e-4, atol=1e-5)
    assert result["metrics"] == result_of_two["metrics"]
    assert result["checkpoint"] == "pretrained.pth" and result["num_videos"] == 7
    assert (result["benchmark"], result["protocol"]) == ("k400-linear", "avid-8x224")
    for block in range(4):
        hits = [
            int(sample["block_scores"][block].mean(0).argmax() == sample["gt_label"])
            for sample in one
        ]
        assert result["metrics"][f"block{block + 1}_video_top1"] == pytest.approx(sum(hits) / 7)

    output = subprocess.run(
        [sys.executable, str(ROOT / "tools/report.py"), str(folder)],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    best = 100 * result["metrics"]["best_video_top1"]
    assert f"| k400-linear | avid-8x224 | best_video_top1 | {best:.1f} | AVID 43.1" in output
    assert "3 results" in output


def test_schedule_is_the_papers():
    cfg = cmac_mm.load_config(CONFIG)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.get("weight_decay", 0)) == ("Adam", 1e-4, 0)
    (scheduler,) = cfg.param_scheduler
    assert (scheduler.milestones, scheduler.gamma) == ([6, 9], 0.1)
    assert cfg.train_cfg.max_epochs == 12
    assert cfg.train_dataloader.batch_size * 8 == cfg.auto_scale_lr.base_batch_size == 128
    assert cfg.train_dataloader.sampler.repeats == 1
    assert cfg.default_hooks.checkpoint.save_best is None and "val_cfg" not in cfg
