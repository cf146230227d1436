"""The worked examples of docs/extend, with the files and configs that the pages give."""

import itertools
import os
import sys

import numpy as np
import pytest
import torch
from helpers.method_steps import make_data
from helpers.paths import ROOT
from helpers.processes import run as run_command
from helpers.readme_commands import blocks, write_files
from mmaction.registry import METRICS, MODELS, TRANSFORMS
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from cmac_mm.utils import load_config

PAGES = ("method", "backbone", "transform", "benchmark")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with all files of the pages, from which Python imports."""
    folder = tmp_path_factory.mktemp("project")
    for page in PAGES:
        write_files(f"docs/extend/{page}.md", folder)
    init_default_scope("mmaction")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


@pytest.mark.parametrize("page", ["method", "backbone"])
def test_trains(page, folder):
    """A page's model learns a batch: the loss falls, and evaluations find what they read."""
    cfg = load_config(folder / f"my_{page}_config.py", {"audio_width": 4})
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    data = make_data(size=4)
    losses = [model.train_step(data, optimizer)["loss"].item() for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0], losses
    model.eval()
    for sample in model.test_step(data):
        assert sample.visual_feature.isfinite().all() and sample.audio_feature.ndim == 1


def test_method_loss(folder):
    """InfoNCE as a loop over clips and both directions."""
    load_config(folder / "my_method_config.py")
    torch.manual_seed(0)
    head = MODELS.build(dict(type="PairHead", visual_channels=6, audio_channels=5)).double()
    features = {"visual": torch.randn(3, 6).double(), "audio": torch.randn(3, 5).double()}
    embeddings = {name: x.double() for name, x in head.embed(features).items()}
    expected = {"visual": 0.0, "audio": 0.0}
    for (name, other), i in itertools.product((("visual", "audio"), ("audio", "visual")), range(3)):
        terms = [(embeddings[name][i] @ key / 0.1).exp() for key in embeddings[other]]
        expected[name] -= (terms[i] / sum(terms)).log().item() / 3
    losses, _ = head.loss(features)
    assert losses["loss_visual_to_audio"].item() == pytest.approx(expected["visual"], rel=1e-5)
    assert losses["loss_audio_to_visual"].item() == pytest.approx(expected["audio"], rel=1e-5)


def test_transform(folder):
    """The noise has the power that was asked for, and comes before the spectrogram."""
    cfg = load_config(folder / "my_transform_config.py")
    types = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert types.index("DecodeAudioVisual") < types.index("AddNoise") < types.index("PerClip")
    np.random.seed(0)
    waveform = np.stack([np.sin(np.arange(20000)), np.zeros(20000)]).astype(np.float32)
    noisy = TRANSFORMS.build(dict(type="AddNoise", snr_db=10))(dict(waveform=waveform))["waveform"]
    noise = noisy - waveform
    assert noise.dtype == np.float32 and not noise[1].any()
    ratio = 10 * np.log10(np.square(waveform[0]).mean() / np.square(noise[0]).mean())
    assert ratio == pytest.approx(10, abs=0.2)


def test_metric(folder):
    cfg = load_config(folder / "my_metric_config.py")
    assert [metric.type for metric in cfg.test_evaluator] == ["CrossModalRetrieval", "MedianRank"]
    metric = METRICS.build(dict(type="MedianRank"))
    visual = torch.eye(4)
    audio = torch.tensor([[1.0, 0, 0, 0], [1, 0.5, 0, 0], [1, 1, 0.5, 0], [0, 0, 0, 1]])
    samples = [
        dict(visual_embedding=v, audio_embedding=a) for v, a in zip(visual, audio, strict=True)
    ]
    metric.process({}, samples)
    # Ranks 1, 2, 3 and 1; torch takes the lower of the two in the middle.
    assert metric.evaluate(4) == {"rank/audio_to_video": 1.0}


PYTHON = """#!/bin/sh
tool=$1
case $1 in
*/make_sounding_shapes.py) set -- "$@" --num-train 64 --num-test 32 --num-bad 1 ;;
*/train.py) set -- "$@" --cfg-options epochs=1 train_dataloader.num_workers=0 \\
    train_dataloader.persistent_workers=False ;;
esac
exec {python} "$@"
"""


@pytest.mark.slow
def test_commands(tmp_path):
    """All commands of the pages but those on checkpoints of other pages, on a small set."""
    for name in ("tools", "configs"):
        (tmp_path / name).symlink_to(ROOT / name)
    for page in PAGES:
        write_files(f"docs/extend/{page}.md", tmp_path)
    python = tmp_path / "programs/python"
    python.parent.mkdir()
    python.write_text(PYTHON.format(python=sys.executable))
    python.chmod(0o755)
    commands = [b for page in ("index", *PAGES) for b in blocks(f"docs/extend/{page}.md")]
    text = "\n".join(commands).replace("epoch_6.pth", "epoch_1.pth")
    text = text.replace("work_dirs/quickstart", "work_dirs/my_transform")
    lines = [line for line in text.splitlines() if "cmac_k400" not in line]
    path = f"{python.parent}:{os.environ['PATH']}"
    script = "\n".join(lines).replace("PYTHONPATH=.", f"PYTHONPATH=.:{ROOT}")
    status, output = run_command("bash", "-e", "-c", script, cwd=tmp_path, timeout=580, PATH=path)
    assert status == 0, output[-5000:]
    assert "rank/audio_to_video" in output and "my-retrieval" in output
