"""Statistics of a training set against all its spectrograms in one array."""

import json

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.processes import run_tool
from mmaction.registry import DATASETS
from mmengine.registry import init_default_scope

from cmac_mm.preparation import spectrogram_statistics
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes
from cmac_mm.utils import load_config, seed_all

CONFIG = """
custom_imports = dict(imports=["cmac_mm"], allow_failed_imports=False)
default_scope = "mmaction"
train_dataloader = dict(
    dataset=dict(
        type="AudioVisualDataset",
        ann_file="{folder}/train.txt",
        data_prefix=dict(video="{folder}"),
        pipeline=[
            dict(type="OpenAudioVisual"),
            dict(type="SampleClips", duration=0.5, audio_duration=1.0, visual_offset=(-0.5, 1.0)),
            dict(type="DecodeAudioVisual", fps=4, transforms=[dict(type="RandomCrop", size=32)]),
            dict(type="VolumeJitter"),
            dict(type="AVIDSpectrogram", statistics="{folder}/statistics.json"),
            dict(type="PackAudioVisual"),
        ],
    )
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("some shapes")
    make_sounding_shapes(folder, num_train=4, num_test=1, num_bad=1, seed=0, workers=2)
    (folder / "config.py").write_text(CONFIG.format(folder=folder))
    return folder


def test_command(folder):
    args = [folder / "config.py", "--seed", 3, "--workers", 2]
    status, output = run_tool("data/spectrogram_statistics.py", *args, cwd=ROOT)
    assert status == 0, output
    assert "4 clips in" in output and "1 left out" in output
    content = json.loads((folder / "statistics.json").read_text())
    assert content["settings"] == dict(sample_rate=24000, n_fft=1024, hop_length=240, top_db=100.0)

    cfg = load_config(folder / "config.py")
    init_default_scope("mmaction")
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline[0].need_video = False
    del pipeline[-1]
    del pipeline[-1]["statistics"]
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    levels = []
    for row in range(5):
        seed_all(3 + row)
        try:
            levels.append(dataset.prepare_data(row)["audios"].numpy())
        except ValueError:
            continue
    levels = np.concatenate(levels).astype(np.float64)
    assert levels.shape == (4, 1, 257, 100)
    np.testing.assert_allclose(content["mean"], levels.mean(axis=(0, 1, 3)), atol=1e-4)
    np.testing.assert_allclose(content["std"], levels.std(axis=(0, 1, 3)), atol=1e-4)


def test_standardised_training_set(folder):
    """With the file in place each band of the training clips has mean 0 and deviation 1."""
    out = folder / "other.json"
    summary = spectrogram_statistics(load_config(folder / "config.py"), out, seed=3, workers=1)
    assert summary.num_clips == 4 and len(summary.failures) == 1
    assert (folder / "statistics.json").read_text() == out.read_text()
    cfg = load_config(folder / "config.py")
    init_default_scope("mmaction")
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline[0].need_video = False
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    good = []
    for row in range(5):
        seed_all(3 + row)
        try:
            good.append(dataset.prepare_data(row)["inputs"]["audio"].numpy())
        except ValueError:
            continue
    bands = np.concatenate(good, axis=2)[0]
    np.testing.assert_allclose(bands.mean(axis=1), 0, atol=1e-3)
    np.testing.assert_allclose(bands.std(axis=1), 1, atol=1e-3)


def test_refuses(folder):
    out = folder / "out.json"
    with pytest.raises(ValueError, match="has no AVIDSpectrogram"):
        spectrogram_statistics(load_config("configs/demo/cmac_sounding-shapes.py"), out)
    cfg = load_config(folder / "config.py", {"train_dataloader.dataset.data_prefix.video": "none"})
    with pytest.raises(RuntimeError, match="none of 5 videos could be heard"):
        spectrogram_statistics(cfg, out, workers=1)
    assert not out.exists()
