"""Fine-tuning and testing on real UCF101 clips with a thin network, as a user runs it."""

import json
import pickle
import shutil
import sys
from pathlib import Path

import cv2
import pytest
import torch
from helpers.paths import ROOT
from helpers.processes import run as run_command
from helpers.tools_in_process import run_tool
from mmaction.registry import MODELS
from mmengine.config import DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

import cmac_mm
from cmac_mm.utils import load_checkpoint

AVID = "cmac_mm::recognition/avid_r2plus1d-18_1xb64-8x224-21e_ucf101.py"
BACKBONE = dict(variant="avid", base_channels=4, stage_blocks=(1, 1, 1, 1))
# The official labels: of seven classes two have no videos here.
OPTIONS = {
    "model.backbone.base_channels": 4,
    "model.backbone.stage_blocks": "(1,1,1,1)",
    "model.cls_head.in_channels": 32,
    "model.cls_head.num_classes": 7,
    "train_dataloader.dataset.ann_file": "train.txt",
    "train_dataloader.dataset.pipeline.2.short_side": 40,
    "train_dataloader.dataset.pipeline.4.scale": "(32,32)",
    "train_dataloader.sampler.repeats": 2,
    "train_dataloader.batch_size": 4,
    "train_dataloader.num_workers": 1,
    "test_dataloader.dataset.ann_file": "test_split{split}.txt",
    "test_dataloader.dataset.pipeline.1.num_clips": 3,
    "test_dataloader.dataset.pipeline.2.short_side": 40,
    "test_dataloader.dataset.pipeline.3.crop_size": 32,
    "test_dataloader.num_workers": 1,
    "train_cfg.max_epochs": 2,
    "default_hooks.freeze_backbone.num_epochs": 1,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, media_dir):
    """Lists of 8 training and 7 test videos, an encoder, and the split run from it."""
    folder = tmp_path_factory.mktemp("recognition")
    init_default_scope("mmaction")
    torch.manual_seed(0)
    encoder = MODELS.build(dict(type="R2Plus1D", **BACKBONE))
    encoder.init_weights()
    for key, value in encoder.state_dict().items():
        if "running" in key or "tracked" in key:  # as if it had been trained
            value += 1
    state = {f"visual_backbone.{key}": value for key, value in encoder.state_dict().items()}
    torch.save(dict(state_dict=state), folder / "pretrained.pth")

    videos = media_dir / "ucf101_mini"
    numbers = (videos / "ucfTrainTestlist/classInd.txt").read_text().split()
    labels = {
        name: int(number) - 1 for number, name in zip(numbers[::2], numbers[1::2], strict=True)
    }
    files = sorted(f"{p.parent.name}/{p.name}" for p in (videos / "UCF-101").glob("*/*.avi"))
    parts = {"train": files[::8], "test_split1": files[4::9]}
    assert [len(part) for part in parts.values()] == [8, 7]
    for name, part in parts.items():
        lines = "".join(f"{file} {labels[file.split('/')[0]]}\n" for file in part)
        (folder / f"{name}.txt").write_text(lines)
    raw = [f"{key}={value}" for key, value in OPTIONS.items()]
    raw += [
        f"{part}_dataloader.dataset.data_prefix.video={videos / 'UCF-101'}"
        for part in ("train", "test")
    ]
    (folder / "options.json").write_text(json.dumps(raw))
    args = [AVID, "pretrained.pth", "--splits", 1, "--seed", 1]
    output = run(
        folder,
        sys.executable,
        ROOT / "tools/evaluate.py",
        *args,
        "--work-dir",
        "runs",
        split=None,
    )
    (folder / "output.txt").write_text(output)
    return folder


def options_of(folder, split):
    raw = json.loads((folder / "options.json").read_text())
    return [text if split is None else text.replace("{split}", str(split)) for text in raw]


def run(folder, *command, split, options=()):
    options = [*options_of(folder, split), *options]
    status, output = run_command(*command, "--cfg-options", *options, cwd=folder)
    assert status == 0, output
    return output


def result(folder, name):
    return json.loads((folder / name / "ucf101-finetune.json").read_text())


def test_result_of_a_split(folder):
    whole, part = result(folder, "runs"), result(folder, "runs/split1")
    assert whole["checkpoint"] == part["checkpoint"] == "pretrained.pth"
    assert (whole["protocol"], whole["epoch"], whole["seed"]) == ("avid-8x224", 2, 1)
    assert set(part["metrics"]) == {"top1", "top5", "mean_class"}
    assert whole["splits"] == [dict(split=1, **part["metrics"])]
    assert (part["split"], part["num_videos"]) == (1, 7)
    assert part["model"].endswith("epoch_2.pth")  # the last, not the best
    output = (folder / "output.txt").read_text()
    assert f"| mean  | {100 * part['metrics']['top1']:10.2f} |" in output
    assert "of 7 classes have no test video; mean_class is over the other" in output


def test_classifier_first_leaves_the_encoder_as_it_was(folder):
    pretrained = load_checkpoint(folder / "pretrained.pth")["state_dict"]
    first, second = (load_checkpoint(folder / f"runs/split1/epoch_{n}.pth") for n in (1, 2))
    for key, value in pretrained.items():
        key = key.replace("visual_backbone.", "backbone.")
        assert torch.equal(first["state_dict"][key], value), key
        assert not torch.equal(second["state_dict"][key], value), key
    assert not torch.equal(*(c["state_dict"]["cls_head.fc_cls.weight"] for c in (first, second)))
    # 16 clips in batches of 4; all parts start with a fresh state in the second epoch
    steps = {int(state["step"]) for state in second["optimizer"]["state"].values()}
    assert steps == {4}


def config(folder, name, ann_file="test_split1.txt", **options):
    """The config of a test in this process."""
    raw = dict(text.split("=", 1) for text in options_of(folder, 1))
    options = {key: DictAction._parse_iterable(text) for key, text in raw.items()} | options
    options["test_dataloader.dataset.ann_file"] = str(folder / ann_file)
    cfg = cmac_mm.load_config(AVID, options)
    cfg.work_dir, cfg.load_from = str(folder / name), str(folder / "runs/split1/epoch_2.pth")
    cfg.experiment_name = name
    return cfg


def predict(folder, name, **options):
    """Predictions, in list order, and metrics."""
    cfg = config(folder, name, **options)
    dump = str(folder / f"{name}.pkl")
    cfg.test_evaluator = [cfg.test_evaluator, dict(type="DumpResults", out_file_path=dump)]
    metrics = Runner.from_cfg(cfg).test()
    return _load(dump), metrics


def _load(path):
    return sorted(pickle.loads(Path(path).read_bytes()), key=lambda s: s["sample_idx"])


@pytest.mark.slow
def test_predictions_do_not_depend_on_how_they_are_computed(folder):
    expected, metrics = predict(
        folder,
        "alone",
        **{"test_dataloader.num_workers": 0, "test_dataloader.persistent_workers": False},
    )
    variants = [
        predict(folder, "again", **{"test_dataloader.batch_size": 4}),
        predict(
            folder, "workers", **{"test_dataloader.num_workers": 2, "test_dataloader.batch_size": 1}
        ),
    ]
    output = run(
        folder,
        *("bash", ROOT / "tools/dist_test.sh", AVID, "runs/split1/epoch_2.pth", 2),
        *("--work-dir", "two ranks", "--dump", "ranks.pkl"),
        split=1,
    )
    assert "acc/top1" in output
    ranks = {f"acc/{k}": v for k, v in result(folder, "two ranks")["metrics"].items()}
    variants.append((_load(folder / "ranks.pkl"), ranks))
    assert result(folder, "runs/split1")["metrics"] == result(folder, "two ranks")["metrics"]
    for predictions, figures in variants:
        assert figures == metrics
        # 7 videos on two ranks: each of them once
        assert [s["sample_idx"] for s in predictions] == list(range(7))
        for sample, other in zip(expected, predictions, strict=True):
            assert sample["filename"] == other["filename"]
            torch.testing.assert_close(sample["pred_score"], other["pred_score"], rtol=0, atol=1e-5)

    hits = [int(s["pred_score"].argmax()) == int(s["gt_label"]) for s in expected]
    assert metrics["acc/top1"] == pytest.approx(sum(hits) / 7)
    lines = (folder / "test_split1.txt").read_text().split()
    assert [int(s["gt_label"]) for s in expected] == [int(label) for label in lines[1::2]]
    assert all(s["pred_score"].sum().item() == pytest.approx(1) for s in expected)


def test_a_pretraining_checkpoint_is_no_load_from(folder):
    """It would leave the recogniser random; the error says what to write, which then works."""
    cfg = config(folder, "wrong")
    cfg.load_from = str(folder / "pretrained.pth")
    with pytest.raises(RuntimeError, match=r"pretrained\.pth does not fit Recognizer3D") as info:
        Runner.from_cfg(cfg).test()
    advice = str(info.value).split("--cfg-options: ")[1].split()
    options = dict(part.split("=", 1) for part in advice)
    assert options.pop("load_from") == "None"
    cfg = config(folder, "right", **options)
    cfg.load_from = None
    model = MODELS.build(cfg.model)
    model.init_weights()
    state = load_checkpoint(folder / "pretrained.pth")["state_dict"]
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, state[f"visual_backbone.{key}"])


def test_pictures_of_predictions(folder):
    """MMAction2's --show-dir and --interval; classes are numbers where the list names none."""
    args = [AVID, "runs/split1/epoch_2.pth", "--work-dir", "shown", "--show-dir", "shown/pictures"]
    raw = options_of(folder, 1)
    run_tool("test.py", *args, "--interval", 3, "--cfg-options", *raw, cwd=folder)
    lines = (folder / "test_split1.txt").read_text().splitlines()
    want = [f"{row:06d}_{Path(lines[row].split()[0]).stem}.png" for row in (0, 3, 6)]
    pictures = sorted((folder / "shown/pictures").iterdir())
    assert [path.name for path in pictures] == want
    image = cv2.imread(str(pictures[0]))
    assert image.shape[1] > 3 * image.shape[0]  # frames beside each other
    with pytest.raises(RuntimeError, match=r"there is no display.*--show-dir"):
        run_tool("test.py", *args, "--show", "--cfg-options", *raw, cwd=folder)


def test_a_missing_video_is_an_error_that_names_it(folder):
    lines = (folder / "test_split1.txt").read_text()
    (folder / "test_split9.txt").write_text(lines.replace("v_Archery_", "v_Lost_", 1))
    with pytest.raises(Exception, match=r"v_Lost_g\d\d_c\d\d\.avi"):
        Runner.from_cfg(config(folder, "lost", ann_file="test_split9.txt")).test()


def evaluate_here(folder, *args):
    run_tool("evaluate.py", *args, cwd=folder)


def test_finished_splits_are_kept_and_never_mixed(folder, capfd):
    other = {**result(folder, "runs/split1"), "split": 2}
    other["metrics"] = {"top1": 0.25, "top5": 0.75, "mean_class": 0.5}
    (folder / "runs/split2").mkdir()
    (folder / "runs/split2/ucf101-finetune.json").write_text(json.dumps(other))
    raw = options_of(folder, None)
    args = [AVID, "pretrained.pth", "--splits", 1, 2, "--work-dir", "runs"]
    evaluate_here(folder, *args, "--seed", 1, "--cfg-options", *raw)
    output = capfd.readouterr().out
    assert output.count(" is done: ") == 2 and "split=" not in output
    whole, part = result(folder, "runs"), result(folder, "runs/split1")
    assert [row["split"] for row in whole["splits"]] == [1, 2]
    for name, value in whole["metrics"].items():
        assert value == pytest.approx((part["metrics"][name] + other["metrics"][name]) / 2)
    assert f"| mean  | {100 * whole['metrics']['top1']:10.2f} |" in output

    for seed, more, what in ((2, [], "seed"), (1, ["train_cfg.max_epochs=3"], "config")):
        with pytest.raises(ValueError, match=f"run with another {what}: choose another --work-dir"):
            evaluate_here(folder, *args, "--seed", seed, "--cfg-options", *raw, *more)
    torch.save(dict(state_dict={}), folder / "other.pth")
    args[1] = "other.pth"
    with pytest.raises(ValueError, match="run with another encoder, config"):
        evaluate_here(folder, *args, "--seed", 1, "--cfg-options", *raw)


def test_what_cannot_be_run_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"cmac_k400\.py is no benchmark.*tools/test\.py"):
        evaluate_here(tmp_path, "cmac_mm::cmac_k400.py", "none")
    with pytest.raises(FileNotFoundError, match=r"gone\.pth does not exist"):
        evaluate_here(tmp_path, AVID, "gone.pth")
    with pytest.raises(ValueError, match=r"--by-content means nothing to .*type finetune"):
        evaluate_here(folder, AVID, "pretrained.pth", "--by-content")
    text = f"_base_ = [{str(ROOT / 'configs' / AVID.split('::')[1])!r}]\n"
    for line, message in (
        ("evaluation = dict(splits=None)", "--splits means nothing to .*no splits"),
        ("default_hooks = dict(result=dict(_delete_=True))", "writes no result"),
        ("evaluation = dict(type='other')", "evaluation.type is 'other', expected one of demo,"),
    ):
        (tmp_path / "own.py").write_text(text + line)
        with pytest.raises(ValueError, match=message):
            evaluate_here(tmp_path, "own.py", "none", "--splits", 1)


@pytest.mark.slow
def test_an_interrupted_split_goes_on_as_if_nothing_happened(folder):
    resumed = folder / "resumed/split1"
    resumed.mkdir(parents=True)
    shutil.copy(folder / "runs/split1/epoch_1.pth", resumed)
    (resumed / "last_checkpoint").write_text(str(resumed / "epoch_1.pth"))
    args = [AVID, "pretrained.pth", "--splits", 1, "--seed", 1]
    command = [sys.executable, ROOT / "tools/evaluate.py", *args, "--work-dir", "resumed"]
    assert "resumed epoch: 1" in run(folder, *command, split=None)
    states = [
        load_checkpoint(folder / f"{name}/split1/epoch_2.pth")["state_dict"]
        for name in ("runs", "resumed")
    ]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert result(folder, "resumed")["metrics"] == result(folder, "runs/split1")["metrics"]


@pytest.mark.slow
def test_classifier_first_on_two_ranks(folder):
    args = [AVID, "pretrained.pth", "--splits", 1, "--seed", 1, "--gpus", 2]
    command = [sys.executable, ROOT / "tools/evaluate.py", *args, "--work-dir", "ranks"]
    run(folder, *command, split=None, options=["train_dataloader.batch_size=2"])
    pretrained = load_checkpoint(folder / "pretrained.pth")["state_dict"]
    first, second = (
        load_checkpoint(folder / f"ranks/split1/epoch_{n}.pth")["state_dict"] for n in (1, 2)
    )
    for key, value in pretrained.items():
        key = key.replace("visual_backbone.", "backbone.")
        assert torch.equal(first[key], value), key
        assert not torch.equal(second[key], value), key
