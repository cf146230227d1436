"""Benchmarks of released encoders: by name, with nothing set by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.peer_files import write_full, write_statistics
from helpers.tools_in_process import run_tool
from mmaction.registry import TRANSFORMS

from cmac_mm.apis.evaluate import Options
from cmac_mm.apis.evaluate.released import fit_to_encoder
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes
from cmac_mm.utils import load_config
from cmac_mm.zoo import convert_checkpoint, find_entry
from cmac_mm.zoo.avid_statistics import NAME

RETRIEVAL = "cmac_mm::retrieval/cmac_r2plus1d-18_32x128_ucf101.py"
FINETUNING = "cmac_mm::recognition/cmac_r2plus1d-18_1xb16-32x128-12e_ucf101.py"
SOUND = "cmac_mm::audio/cmac_resnet9_10x2s_esc50.py"
SOUND_FINETUNING = "cmac_mm::audio/xdc_resnet18_1xb32-2s-12e_esc50.py"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Converted files."""
    folder = tmp_path_factory.mktemp("converted")
    write_statistics(folder)
    for source in ("avid", "gdt", "torchvision"):
        write_full(source, folder / "theirs.pth")
        convert_checkpoint(folder / "theirs.pth", folder / f"{source}.pth")
    return folder


def fitted(config, checkpoint, folder, **options):
    options = fit_to_encoder(Options(config, str(checkpoint), work_dir=folder, **options))
    assert fit_to_encoder(options) == options  # as ranks do it again
    return options, options.load_config()


def values_of(loader, name):
    return [step for step in loader.dataset.pipeline if step.type == name]


def test_the_picture(files, tmp_path):
    options, cfg = fitted(RETRIEVAL, files / "avid.pth", tmp_path)
    assert options.config == str(tmp_path / "fitted/cmac_r2plus1d-18_32x128_ucf101.py")
    assert cfg.model.backbone.variant == "avid" and cfg.model.pooling == "max"
    _, cfg = fitted(RETRIEVAL, files / "gdt.pth", tmp_path)
    assert cfg.model.data_preprocessor.mean == [114.75] * 3 and cfg.model.pooling == "avg"
    selavi = "cmac_mm::retrieval/selavi_r2plus1d-18_32x112_ucf101.py"
    assert fitted(selavi, files / "avid.pth", tmp_path)[1].model.pooling == "max2"  # its protocol


def test_fine_tuning_of_every_split(files, tmp_path):
    options, cfg = fitted(FINETUNING, files / "avid.pth", tmp_path)
    assert cfg.model.cls_head.type == "MaxPoolHead" and cfg.model.cls_head.num_classes == 101
    second = options.load_config(["split=2"])
    assert "split2" in second.test_dataloader.dataset.ann_file
    assert second.model.backbone.variant == "avid"


@pytest.mark.parametrize("config", [SOUND, SOUND_FINETUNING])
def test_the_sound(config, files, tmp_path):
    _, cfg = fitted(config, files / "avid.pth", tmp_path)
    backbone = cfg.model.backbone
    assert {key for key in backbone if key != "init_cfg"} == {"type"}
    assert backbone.type == "AVIDAudioNet" and cfg.model.data_preprocessor.audio_std == 1
    loaders = [cfg.test_dataloader, *([cfg.train_dataloader] if "init_cfg" in backbone else [])]
    for loader in loaders:
        (step,) = (s for s in loader.dataset.pipeline if s.type.endswith("Spectrogram"))
        beside = str(files / "avid_spectrogram.json")
        assert step == dict(type="AVIDSpectrogram", statistics=beside)
    _, cfg = fitted(config, files / "gdt.pth", tmp_path, cfg_options=["model.backbone.depth=18"])
    assert cfg.model.backbone.depth == 18  # what is said by hand holds


def test_without_statistics_beside_the_weights_those_of_the_config_hold(files, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(files / "avid.pth", alone)
    own = "cmac_mm::audio/avid_audionet_10x2s_esc50.py"
    for folder, wanted in ((alone, load_config(own).statistics), (files, str(files / NAME))):
        _, cfg = fitted(own, folder / "avid.pth", tmp_path / folder.name)
        (step,) = values_of(cfg.test_dataloader, "AVIDSpectrogram")
        assert step.statistics == wanted
    _, cfg = fitted(SOUND, alone / "avid.pth", tmp_path / "other")
    (step,) = values_of(cfg.test_dataloader, "AVIDSpectrogram")
    with pytest.raises(FileNotFoundError, match=r"tools/converters/import_statistics\.py"):
        TRANSFORMS.build(step).transform(dict(waveform=np.zeros((1, 2400)), sample_rate=24000))


def test_what_needs_nothing_or_cannot_be(files, tmp_path):
    options, _ = fitted(FINETUNING, files / "gdt.pth", tmp_path)
    assert "fitted" in options.config
    with pytest.raises(ValueError, match=r"modality audio, .*torchvision\.pth has none"):
        fitted(SOUND, files / "torchvision.pth", tmp_path)
    torch.save(dict(meta=dict(epoch=1), state_dict={}), tmp_path / "own.pth")
    for checkpoint in (None, "none.pth", str(tmp_path / "own.pth")):
        options = Options(RETRIEVAL, checkpoint)
        assert fit_to_encoder(options) is options


def test_one_command_and_a_name(tmp_path, monkeypatch):
    """The file is where torch.hub keeps it, as after a download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    cached = tmp_path / "torch/hub/checkpoints"
    cached /= find_entry("avid-cma_audioset").url.removeprefix("https://")
    cached.parent.mkdir(parents=True)
    write_full("avid", cached)
    make_sounding_shapes(tmp_path / "shapes", num_train=4, num_test=2, num_bad=0, workers=1)
    parts = {"gallery": "train", "query": "test"}
    options = {"test_dataloader.num_workers": 0, "evaluation.sheet_queries": 0}
    options["evaluation.class_file"] = None
    for part, name in parts.items():
        dataset = f"test_dataloader.dataset.{part}"
        options |= {
            f"{dataset}.ann_file": tmp_path / f"shapes/{name}.txt",
            f"{dataset}.data_prefix.video": tmp_path / "shapes",
            f"{dataset}.pipeline.1.num_clips": 1,
            f"{dataset}.pipeline.2.clip_len": 4,
            f"{dataset}.pipeline.3.crop_size": 32,
        }
    run_tool(
        "evaluate.py",
        RETRIEVAL,
        "avid-cma_audioset",
        *("--work-dir", "out", "--cfg-options", *(f"{k}={v}" for k, v in options.items())),
        cwd=tmp_path,
        CUDA_VISIBLE_DEVICES="",
    )
    result = json.loads((tmp_path / "out/ucf101-retrieval.json").read_text())
    assert result["metrics"]["R@1"] >= 0
    assert Path(result["checkpoint"]).name.startswith("avid-cma_audioset-")
