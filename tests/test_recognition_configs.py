"""The recognition configs: names, splits, clips an epoch and the recipes' learning rates."""

import itertools
import re
from collections import Counter

import pytest
import torch
from helpers.paths import ROOT
from mmaction.registry import DATASETS, MODELS
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmengine.runner import Runner

import cmac_mm

FOLDER = ROOT / "configs/recognition"
CONFIGS = sorted(path.name for path in FOLDER.glob("*.py"))
GDT_HEAD = [0.0025, 0.01125, *[0.02] * 5, *[0.001] * 4, 0.00005]
RECIPES = {
    ("cmac", "ucf101"): [0.005] * 12,
    ("avid", "ucf101"): [1e-4] * (5 + 6) + [3e-5] * 4 + [9e-6] * 4 + [2.7e-6] * 2,
    ("avid", "hmdb51"): [1e-4] * (5 + 3) + [3e-5] * 3 + [9e-6] * 2 + [2.7e-6] * 2,
    ("xdc", "ucf101"): GDT_HEAD,
    ("gdt", "ucf101"): GDT_HEAD,
}
VARIANTS = dict(cmac="torchvision", gdt="torchvision", avid="avid", xdc="caffe2")
# Clips of each video an epoch: the paper's 10, or those of AVID's released configs.
CLIPS = {
    ("avid", "8x224", "ucf101"): 10,
    ("avid", "32x224", "ucf101"): 5,
    ("avid", "8x224", "hmdb51"): 25,
}


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope("mmaction")


def load(name, **options):
    return cmac_mm.load_config(FOLDER / name, options)


@pytest.mark.parametrize("name", CONFIGS)
def test_is_what_its_name_says(name):
    pattern = r"(\w+)_r2plus1d-18(-frozen)?(-no-jitter)?_1xb(\d+)-(\d+)x(\d+)-(\d+)e_(\w+)\.py"
    method, frozen, plain, batch, frames, size, epochs, data = re.fullmatch(pattern, name).groups()
    cfg = load(name, split=3)
    train, test = cfg.train_dataloader, cfg.test_dataloader
    assert train.batch_size == cfg.auto_scale_lr.base_batch_size == int(batch)
    assert cfg.train_cfg.max_epochs == int(epochs)
    assert cfg.work_dir == f"work_dirs/{name.removesuffix('.py')}/split3"
    for part, loader in (("train", train), ("test", test)):
        root = f"data/{data}"
        assert loader.dataset.ann_file == f"{root}/annotations/{data}_{part}_split3.txt"
        assert loader.dataset.data_prefix.video == f"{root}/videos"
        steps = {step.type: step for step in loader.dataset.pipeline}
        assert not steps["OpenAudioVisual"].need_audio
        decode = steps["DecodeAudioVisual"]
        assert decode.clip_len == int(frames)
        assert steps["SampleClips"].duration == decode.clip_len / decode.fps
        assert decode.fps == (16 if method == "avid" else 30)
    assert steps["CenterCrop"].crop_size == int(size)
    assert (steps["SampleClips"].num_clips, steps["SampleClips"].mode) == (10, "uniform")
    clips = CLIPS.get((method, f"{frames}x{size}", data), 10)
    assert train.sampler == dict(type="ResumableSampler", shuffle=True, repeats=clips)
    assert train.dataset.on_error == "raise"
    result = cfg.default_hooks.result
    assert result.benchmark == f"{data}-{'frozen' if frozen else 'finetune'}"
    assert (result.protocol, result.split) == (f"{method}-{frames}x{size}{plain or ''}", 3)
    assert cfg.evaluation.splits == ([1] if plain else [1, 2, 3])
    assert cfg.get("val_dataloader") is None and cfg.default_hooks.checkpoint.save_best is None
    model = cfg.model
    assert model.type == ("FrozenRecognizer3D" if frozen else "Recognizer3D")
    assert model.backbone.variant == VARIANTS[method]
    assert model.cls_head.type == ("MaxPoolHead" if method == "avid" else "I3DHead")
    assert model.cls_head.num_classes == dict(ucf101=101, hmdb51=51)[data]
    kinetics = [255 * value for value in (0.43216, 0.394666, 0.37645)]
    imagenet = [255 * value for value in (0.485, 0.456, 0.406)]
    expected = kinetics if method == "xdc" else imagenet
    assert model.data_preprocessor.mean == pytest.approx(expected)
    jitter = model.data_preprocessor.get("color_jitter")
    assert (jitter is None) == (method == "xdc" or plain is not None)


def test_split_1_is_the_default():
    assert load(CONFIGS[0]).split == 1


def thin(cfg):
    cfg.model.backbone.update(base_channels=4, stage_blocks=(1, 1, 1, 1))
    cfg.model.cls_head.in_channels = 32
    return MODELS.build(cfg.model)


@pytest.mark.parametrize("recipe", RECIPES, ids="-".join)
def test_learning_rate_of_every_epoch(recipe):
    """Encoders learn at a tenth of the head's rate (GDT, XDC), but from scratch at the same."""
    method, data = recipe
    names = [n for n in CONFIGS if n.startswith(method) and data in n]
    for name, pretrained in itertools.product(names, [None, "gone.pth"]):
        cfg = load(name, pretrained=pretrained)
        cfg.model.backbone.init_cfg = None
        model = thin(cfg)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        schedulers = [
            PARAM_SCHEDULERS.build(dict(scheduler, optimizer=wrapper))
            for scheduler in cfg.param_scheduler
        ]
        names = {id(p): key for key, p in model.named_parameters() if p.requires_grad}
        rates = {key.split(".")[0]: [] for key in names.values()}
        assert set(rates) == ({"cls_head"} if "frozen" in name else {"cls_head", "backbone"})
        for _ in range(cfg.train_cfg.max_epochs):
            for group in wrapper.optimizer.param_groups:
                for key in filter(None, (names.get(id(p)) for p in group["params"])):
                    rates[key.split(".")[0]].append(group["lr"])
            for scheduler in schedulers:
                scheduler.step()
        for part, values in rates.items():
            epochs = len(RECIPES[recipe])
            per_epoch = torch.tensor(values, dtype=torch.float64).view(epochs, -1)
            factor = 0.1 if method in ("gdt", "xdc") and part == "backbone" and pretrained else 1
            expected = torch.tensor(RECIPES[recipe], dtype=torch.float64)[:, None] * factor
            torch.testing.assert_close(per_epoch, expected.expand_as(per_epoch))
        optimizer = cfg.optim_wrapper.optimizer
        if method == "avid":
            assert dict(optimizer) == dict(type="Adam", lr=1e-4)
            assert cfg.default_hooks.freeze_backbone == dict(
                type="FreezeBackboneHook", num_epochs=5
            )
        else:
            assert (optimizer.type, optimizer.momentum) == ("SGD", 0.9)
            assert optimizer.weight_decay == 5e-3


def test_an_epoch_has_ten_clips_of_each_video(media_dir, tmp_path):
    files = sorted((media_dir / "ucf101_mini/UCF-101/Archery").iterdir())[:3]
    (tmp_path / "list.txt").write_text("".join(f"{file} {i}\n" for i, file in enumerate(files)))
    cfg = load("cmac_r2plus1d-18_1xb16-32x128-12e_ucf101.py")
    loader = cfg.train_dataloader
    loader.update(batch_size=6, num_workers=0, persistent_workers=False)
    loader.dataset.update(ann_file=str(tmp_path / "list.txt"), data_prefix=dict(video=""))
    decode = next(step for step in loader.dataset.pipeline if step.type == "DecodeAudioVisual")
    decode.update(clip_len=1)  # saves time
    loader = Runner.build_dataloader(loader, seed=0)
    loader.sampler.bind(loader.batch_size, loader.drop_last)
    starts = {}
    mixed = 0
    for batch in loader:
        rows = [sample.sample_idx for sample in batch["data_samples"]]
        mixed += len(set(rows)) > 1
        assert batch["inputs"]["imgs"].shape == (6, 3, 1, 128, 128)
        for sample in batch["data_samples"]:
            assert sample.gt_label.item() == sample.sample_idx
            starts.setdefault(sample.filename, []).append(sample.clip_start[0])
    assert Counter({name: len(values) for name, values in starts.items()}) == Counter(
        {str(file): 10 for file in files}
    )
    assert all(len(set(values)) == 10 for values in starts.values())  # each drawn anew
    assert mixed == 5  # no batch of one video's clips


def test_a_missing_video_is_named(tmp_path):
    (tmp_path / "list.txt").write_text("v_Gone_g01_c01.avi 0\n")
    cfg = load(CONFIGS[0])
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.update(
            ann_file=str(tmp_path / "list.txt"), data_prefix=dict(video=str(tmp_path))
        )
        dataset = DATASETS.build(loader.dataset)
        with pytest.raises(Exception, match=r"v_Gone_g01_c01\.avi"):
            dataset[0]
