"""tools/analysis/mining_diagnostics.py as a user runs it, on banks made to know the classes."""

import json
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from helpers.tools_in_process import run_tool
from PIL import Image

from cmac_mm.evaluation.functional import mean_dot_product, positive_precision
from cmac_mm.mining import mine_positives
from cmac_mm.preparation.sounding_shapes import make_sounding_shapes

run = partial(run_tool, "analysis/mining_diagnostics.py")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    make_sounding_shapes(folder, num_train=12, num_test=1, num_bad=0, seed=0, workers=1)
    return folder


@pytest.fixture
def checkpoint(shapes, tmp_path):
    lines = (shapes / "train.txt").read_text().splitlines()
    labels = torch.tensor([int(line.split()[1]) for line in lines])
    torch.manual_seed(0)
    banks = F.normalize(torch.randn(2, 10, 16)[:, labels] + torch.randn(2, 12, 16), dim=2)
    positives = torch.randint(12, (12, 4))
    path = tmp_path / "epoch_1.pth"
    state = {"banks.visual.entries": banks[0], "banks.audio.entries": banks[1]}
    torch.save(dict(state_dict={**state, "positives": positives}), path)
    return path, banks, positives, labels


def test_figures_and_sheet(shapes, checkpoint, tmp_path, capsys):
    path, (visual, audio), positives, labels = checkpoint
    command = [path, "--prefix", shapes, "--num-positives", 4, "--sheet-rows", 2]
    run(*command, "--ann-file", shapes / "train.txt", "--classes", shapes / "classes.txt")
    out = tmp_path / "mining_diagnostics"
    result = json.loads((out / "diagnostics.json").read_text())
    assert result["visual_mean_dot"] == pytest.approx(mean_dot_product(visual))
    assert result["audio_mean_dot"] == pytest.approx(mean_dot_product(audio))
    expected = {
        "in the checkpoint": positives,
        "mined, agreement of both": mine_positives(visual, audio, 4),
        "mined, by picture": mine_positives(visual, audio, 4, "visual"),
        "mined, by sound": mine_positives(visual, audio, 4, "audio"),
        "mined, by either": mine_positives(visual, audio, 4, "max"),
    }
    assert list(result["precision"]) == list(expected)
    for name, found in expected.items():
        assert result["precision"][name] == pytest.approx(positive_precision(found, labels))
    assert "in the checkpoint" in capsys.readouterr().out
    assert Image.open(out / "agreement.png").width > 800


def test_lists_without_labels_and_wrong_files(shapes, checkpoint, tmp_path, capsys):
    path = checkpoint[0]
    lines = [line.split()[0] for line in (shapes / "train.txt").read_text().splitlines()]
    unlabelled = tmp_path / "list.txt"
    unlabelled.write_text("\n".join(lines))
    command = ["--prefix", shapes, "--num-positives", 4, "--out-dir", tmp_path / "out"]
    run(path, *command, "--ann-file", unlabelled, "--sheet-rows", 1)
    assert "no labels: no precision" in capsys.readouterr().out
    assert "precision" not in json.loads((tmp_path / "out/diagnostics.json").read_text())
    assert (tmp_path / "out/agreement.png").is_file()

    unlabelled.write_text("\n".join(lines[:-1]))
    with pytest.raises(ValueError, match=r"lists 11 videos, the banks in .* have 12"):
        run(path, *command, "--ann-file", unlabelled)
    torch.save(dict(state_dict={}), path)
    with pytest.raises(ValueError, match=r"lacks \['banks.visual.entries'.*AVID model"):
        run(path, *command, "--ann-file", unlabelled)
