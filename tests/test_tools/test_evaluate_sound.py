"""tools/evaluate.py and fine-tuning on real ESC-10 recordings, with thin networks."""

import csv
import json
import shutil
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from helpers import processes
from helpers.paths import ROOT
from helpers.tools_in_process import run_tool
from mmaction.registry import DATASETS, MODELS
from mmengine.dataset import default_collate
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from PIL import Image
from torchvision.models.resnet import BasicBlock, ResNet

import cmac_mm
from cmac_mm.evaluation import load_results
from cmac_mm.models import AudioResNet

CONFIGS = ROOT / "configs/audio"
ESC10 = CONFIGS / "cmac_resnet9_10x2s_esc10.py"
# Fewer clips, bands and candidates, to save time.
OPTIONS = {
    "model.backbone.base_channels": 4,
    "test_dataloader.num_workers": 0,
    "test_dataloader.dataset.pipeline.1.num_clips": 3,
    "test_dataloader.dataset.pipeline.3.num_mels": 64,
    "evaluation.linear.lr": "[0.01]",
    "evaluation.linear.weight_decay": "[0.001,0.1]",
    "evaluation.linear.epochs": 10,
    "evaluation.svm.C": "[0.001,0.1]",
}
FOLDS = [f"esc10_fold{fold}" for fold in range(1, 6)]


run = partial(run_tool, "evaluate.py", LOCAL_RANK="0", CUDA_VISIBLE_DEVICES="")


def options(**more):
    return ["--cfg-options", *(f"{key}={value}" for key, value in {**OPTIONS, **more}.items())]


def svm(**more):
    """Options for one of the classifiers."""
    settings = {key: v for key, v in OPTIONS.items() if not key.startswith("evaluation.linear")}
    settings |= {"evaluation.linear": None, **more}
    return ["--cfg-options", *(f"{key}={value}" for key, value in settings.items())]


def digits(path):
    """A result without what differs from run to run."""
    result = json.loads(Path(path).read_text())
    return {key: value for key, value in result.items() if key != "date"}


@pytest.fixture(scope="module")
def folder(media_dir, tmp_path_factory):
    """The recordings at hand and their lists, in the layout that the configs expect."""
    folder = tmp_path_factory.mktemp("esc")
    annotations = folder / "data/esc50/annotations"
    annotations.mkdir(parents=True)
    (folder / "data/esc50/audio").symlink_to(media_dir / "esc10_mini/audio")
    with (media_dir / "esc10_mini/meta/esc50.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = {int(row["target"]): row["category"] for row in rows}
    classes = sorted(names)
    for name, labels in (("esc10", {t: classes.index(t) for t in classes}), ("esc50", {})):
        for fold in range(1, 6):
            lines = [
                f"{row['filename']} {labels.get(int(row['target']), row['target'])}\n"
                for row in rows
                if int(row["fold"]) == fold
            ]
            (annotations / f"{name}_fold{fold}.txt").write_text("".join(lines))
    (annotations / "esc10_classes.txt").write_text("".join(f"{names[t]}\n" for t in classes))

    init_default_scope("mmaction")
    torch.manual_seed(1)
    backbone = AudioResNet(base_channels=4)
    backbone.init_weights()
    state = {f"audio_backbone.{key}": value for key, value in backbone.state_dict().items()}
    torch.save({"state_dict": {**state, "head.weight": torch.zeros(1)}}, folder / "thin.pth")
    return folder


@pytest.fixture(scope="module")
def done(folder):
    """Work folder of a run with both classifiers."""
    run(ESC10, "thin.pth", *options(), cwd=folder)
    return folder / "work_dirs/cmac_resnet9_10x2s_esc10"


def test_results_and_pictures(done):
    for kind in ("linear", "svm"):
        result = digits(done / f"esc10-{kind}.json")
        assert (result["benchmark"], result["checkpoint"]) == (f"esc10-{kind}", "thin.pth")
        assert [fold["list"] for fold in result["folds"]] == FOLDS
        assert [fold["fold"] for fold in result["folds"]] == [1, 2, 3, 4, 5]
        top1 = [fold["top1"] for fold in result["folds"]]
        assert result["metrics"]["top1"] == pytest.approx(np.mean(top1))
        confusion = np.array(result["confusion"])
        assert confusion.sum() == result["recordings"] == 50
        # Folds of equal size: the mean of the folds is the share of all.
        assert result["metrics"]["top1"] == pytest.approx(np.trace(confusion) / 50)
        assert (confusion.sum(axis=1) == 5).all()
        assert set(result["folds"][0]["chosen"]) == (
            {"C"} if kind == "svm" else {"lr", "weight_decay"}
        )
        assert result["classes"][0] == "dog" and len(result["classes"]) == 10
        with Image.open(done / f"esc10-{kind}_confusion.png") as picture:
            assert min(picture.size) > 300
    assert {result["benchmark"] for result in load_results(done)} == {"esc10-linear", "esc10-svm"}
    assert not list(done.rglob("*.tmp")) + list(done.rglob("*.part"))


def test_second_run_computes_nothing(done, folder, capfd):
    files = {p: p.stat().st_mtime_ns for p in done.rglob("*.npy")}
    parts = {p: p.stat().st_mtime_ns for p in done.rglob("part_*.pt")}
    assert files and parts
    before = [digits(done / f"esc10-{kind}.json") for kind in ("linear", "svm")]
    capfd.readouterr()
    run(ESC10, "thin.pth", *options(), cwd=folder)
    assert [digits(done / f"esc10-{kind}.json") for kind in ("linear", "svm")] == before
    assert {p: p.stat().st_mtime_ns for p in done.rglob("*.npy")} == files
    assert {p: p.stat().st_mtime_ns for p in done.rglob("part_*.pt")} == parts
    output = capfd.readouterr()
    assert "features" not in output.err and "training" not in output.out
    assert "mean of the folds" in output.out


@pytest.mark.slow
def test_workers_batches_and_ranks_change_nothing(done, folder):
    expected = [digits(done / f"esc10-{kind}.json") for kind in ("linear", "svm")]
    changed = options(**{"test_dataloader.num_workers": 2, "test_dataloader.batch_size": 7})
    run(ESC10, "thin.pth", "--work-dir", "workers", *changed, cwd=folder)
    args = [ESC10, "thin.pth", "--work-dir", "ranks", "--gpus", 2, *changed]
    code, output = processes.run_tool("evaluate.py", *args, cwd=folder)
    assert code == 0, output
    for name in ("workers", "ranks"):
        for kind, result in zip(("linear", "svm"), expected, strict=True):
            got = digits(folder / name / f"esc10-{kind}.json")
            for key in ("metrics", "folds", "confusion"):
                assert got[key] == result[key], (name, kind, key)


def reference_features(path, network, num_clips=10):
    """Features of a recording, with libraries that our pipeline does not use."""
    sound, rate = soundfile.read(path, always_2d=True)
    sound = librosa.resample(sound.mean(axis=1), orig_sr=rate, target_sr=24000, res_type="soxr_hq")
    last = (len(soundfile.read(path)[0]) / rate - 2.0) / (num_clips - 1)
    clips = []
    for i in range(num_clips):
        begin = min(round(i * last * 24000), len(sound) - 48000)
        mel = librosa.feature.melspectrogram(
            y=sound[begin : begin + 48000],
            sr=24000,
            n_fft=2048,
            win_length=1024,
            hop_length=240,
            n_mels=257,
            norm=None,
            pad_mode="reflect",
        )
        clips.append(10 * np.log10(np.maximum(mel[:, :200], 1e-10)))
    x = (torch.tensor(np.stack(clips), dtype=torch.float32)[:, None] + 5) / 18
    with torch.no_grad():
        return network(x)


def test_features_against_an_independent_script(folder, media_dir):
    """The config as it is, and torchvision's ResNet with librosa's spectrograms: 1e-4."""
    torch.manual_seed(3)
    reference = ResNet(BasicBlock, [1, 1, 1, 1])
    reference.conv1 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    reference.fc = torch.nn.Identity()
    for module in reference.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.7, 1.3)
    reference.eval()

    cfg = cmac_mm.load_config(CONFIGS / "cmac_resnet9_10x2s_esc50.py")
    model = MODELS.build(cfg.model).eval()
    model.backbone.load_state_dict(reference.state_dict())
    files = sorted((media_dir / "esc50_wav").glob("*.wav"))[:2]
    files.append(next((media_dir / "esc10_mini/audio").glob("5-*.ogg")))
    (folder / "some.txt").write_text("".join(f"{file} 0\n" for file in files))
    cfg.test_dataloader.dataset.update(ann_file=str(folder / "some.txt"), data_prefix=dict())
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    for index, file in enumerate(files):
        with torch.no_grad():
            sample = model.test_step(default_collate([dataset[index]]))[0]
        expected = reference_features(file, reference)
        assert sample.audio_feature.shape == (10, 512)
        error = (sample.audio_feature - expected).norm() / expected.norm()
        assert error < 1e-4, file


def test_one_train_and_one_test_list(folder):
    """DCASE's form, and AVID's: unpooled features, fewer clips at the test."""
    data = folder / "data/dcase2014"
    (data / "annotations").mkdir(parents=True)
    lists = [folder / f"data/esc50/annotations/esc10_fold{fold}.txt" for fold in range(1, 6)]
    lines = [
        f"{folder}/data/esc50/audio/{line}"
        for path in lists
        for line in path.read_text().splitlines(keepends=True)
    ]
    for part, chosen in (("test", lines[:10]), ("train", lines[10:])):
        (data / f"annotations/dcase2014_{part}.txt").write_text("".join(chosen))
    shutil.copy(lists[0].with_name("esc10_classes.txt"), data / "annotations/classes.txt")
    small = svm(
        **{
            "test_dataloader.dataset.pipeline.1.num_clips": 4,
            "evaluation.test_clips": 2,
            "evaluation.svm.C": "[1e-6,1e-4]",
        }
    )
    config = CONFIGS / "avid_resnet9_60x2s_dcase2014.py"
    run(config, "thin.pth", "--work-dir", "dcase", *small, cwd=folder)
    assert not (folder / "dcase/dcase2014-linear.json").exists()
    result = digits(folder / "dcase/dcase2014-svm.json")
    assert [(f["list"], f["num_train"], f["num_test"]) for f in result["folds"]] == [
        ("dcase2014_test", 40, 10)
    ]
    # 64 bands x 200 frames: the last stage has 2 x 7 places.
    assert (result["clips"], result["test_clips"], result["feature_size"]) == (4, 2, 32 * 2 * 7)
    assert sum(map(sum, result["confusion"])) == 10


def test_random_weights_are_said(folder, capfd):
    args = ["none", "--work-dir", "random", "--seed", "4"]
    run(ESC10, *args, *svm(**{"evaluation.svm.C": "[0.01]"}), cwd=folder)
    assert "no checkpoint: random weights of seed 4" in capfd.readouterr().out
    result = digits(folder / "random/esc10-svm.json")
    assert result["checkpoint"] is None and result["seed"] == 4


def test_mistakes_are_named(folder, tmp_path):
    annotations = folder / "data/esc50/annotations"
    common = ["--work-dir", "mistakes", "--cache-dir", "random/features"]

    def fails(error, message, checkpoint="thin.pth", **more):
        with pytest.raises(error, match=message):
            run(ESC10, checkpoint, *common, *svm(**more), cwd=folder)

    fails(ValueError, r"class_file: nowhere\.txt does", **{"evaluation.class_file": "nowhere.txt"})
    torch.save({"state_dict": {"visual_backbone.conv1": torch.zeros(1)}}, tmp_path / "other.pth")
    fails(RuntimeError, "no key starts with 'audio_backbone.'", tmp_path / "other.pth")
    fails(RuntimeError, "of another shape", **{"model.backbone.base_channels": 8})
    # One of fold 1's recordings once more, in another list.
    first = (annotations / "esc10_fold1.txt").read_text().splitlines()
    (tmp_path / "again.txt").write_text("\n".join(first[:3]))
    lists = f"[{annotations}/esc10_fold1.txt,{tmp_path}/again.txt]"
    few = {"test_dataloader.dataset.ann_file": lists}
    fails(ValueError, r"is in .*esc10_fold1\.txt and in .*again\.txt", **few)
    (tmp_path / "unlabelled.txt").write_text(first[0].split()[0])
    fails(
        ValueError,
        r"unlabelled\.txt, line 1: no label, expected 0 to 9 \(10 classes\)",
        **{"test_dataloader.dataset.ann_file": f"[{tmp_path}/unlabelled.txt]"},
    )
    (tmp_path / "missing.txt").write_text("gone.wav 3\n")
    fails(
        ValueError,
        r"audio/gone\.wav: no such file",
        **{"test_dataloader.dataset.ann_file": f"[{tmp_path}/missing.txt]"},
    )


def test_fine_tuning(folder, monkeypatch):
    """Training and test through MMAction2's RecognizerAudio; the test against a plain loop."""
    monkeypatch.chdir(folder)
    init_default_scope("mmaction")
    cfg = cmac_mm.load_config(CONFIGS / "xdc_resnet18_1xb32-2s-12e_esc50.py", {"split": 2})
    lists = [Path(name).stem for name in cfg.train_dataloader.dataset.ann_file]
    assert lists == [f"esc50_fold{fold}" for fold in (1, 3, 4, 5)]
    assert Path(cfg.test_dataloader.dataset.ann_file).stem == "esc50_fold2"
    torch.manual_seed(2)
    backbone = AudioResNet(depth=18, base_channels=4)
    backbone.init_weights()
    state = {f"audio_backbone.{key}": value for key, value in backbone.state_dict().items()}
    torch.save({"state_dict": state}, "thin18.pth")
    cfg.merge_from_dict(
        {
            "model.backbone.base_channels": 4,
            "model.backbone.init_cfg.checkpoint": "thin18.pth",
            "model.cls_head.in_channels": 32,
            "train_cfg.max_epochs": 1,
            "train_dataloader.sampler.repeats": 2,
            "train_dataloader.num_workers": 0,
            "train_dataloader.persistent_workers": False,
            "train_dataloader.batch_size": 8,
            "test_dataloader.num_workers": 0,
            "test_dataloader.persistent_workers": False,
            "test_dataloader.batch_size": 3,
            "work_dir": str(folder / "finetuned"),
            "randomness": dict(seed=0),
        }
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 40 * 2 // 8  # two clips of each of 40 recordings
    runner.test()
    result = digits(folder / "finetuned/esc50-finetune.json")
    assert (result["benchmark"], result["fold"]) == ("esc50-finetune", 2)

    model = runner.model.eval()
    dataset, correct = runner.test_dataloader.dataset, 0
    for index in range(10):
        sample = dataset[index]
        assert sample["inputs"]["audio"].shape == (10, 1, 40, 100)
        with torch.no_grad():
            clips = (sample["inputs"]["audio"] + 5) / 18
            scores = model.cls_head(model.backbone(clips)).softmax(dim=1).mean(dim=0)
            predicted = model.test_step(default_collate([sample]))[0]
        torch.testing.assert_close(predicted.pred_score, scores)
        correct += int(scores.argmax() == sample["data_samples"].gt_label)
    assert result["metrics"]["top1"] == pytest.approx(correct / 10)
    checkpoint = torch.load(folder / "finetuned/epoch_1.pth", weights_only=False)["state_dict"]
    moved = checkpoint["backbone.conv1.weight"] - state["audio_backbone.conv1.weight"]
    assert 0 < moved.abs().max() < 0.1  # from the encoder's weights on, and all of it
