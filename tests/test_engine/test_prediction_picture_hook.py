"""What pictures of predictions show, and what they are refused for."""

import numpy as np
import pytest
import torch
from helpers.paths import ROOT
from helpers.predictions import runner, sample
from helpers.processes import run_code
from matplotlib.figure import Figure
from mmaction.structures import ActionDataSample

from cmac_mm.engine.hooks import PredictionPictureHook
from cmac_mm.visualization import draw_prediction


@pytest.mark.parametrize("clips", [None, 3])
@pytest.mark.parametrize("as_list", [True, False])
def test_draws_every_so_manyth_row(tmp_path, clips, as_list):
    lead = (4,) if clips is None else (4, clips)
    imgs = torch.randint(0, 256, (*lead, 3, 8, 20, 30), dtype=torch.uint8)
    hook = PredictionPictureHook(out_dir=str(tmp_path / "new"), interval=2)
    batch = dict(inputs=dict(imgs=list(imgs) if as_list else imgs))
    outputs = [sample(row, label=None if row == 4 else row % 3) for row in (3, 4, 5, 6)]
    hook.after_test_iter(runner(("walk", "run", "sit")), 0, batch, outputs)
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["000004_a$b$.png", "000006_a$b$.png"]


def test_says_class_and_guesses():
    frames = np.zeros((6, 20, 30, 3), np.uint8)
    for right, colour in ((True, "#1a9850"), (False, "#d73027"), (None, "black")):
        figure = Figure()
        draw_prediction(figure, frames, "a.mp4: run", ["run 0.70", "sit 0.20"], right)
        assert len(figure.axes) == 6
        title, guesses = figure.texts
        assert title.get_text() == "a.mp4: run"
        assert guesses.get_text() == "run 0.70,  sit 0.20"
        assert guesses.get_color() == colour


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        (dict(audio=torch.zeros(1, 1, 4, 4)), sample(0)),
        (dict(imgs=torch.zeros(1, 3, 2, 4, 4)), ActionDataSample(metainfo=dict(sample_idx=0))),
    ],
)
def test_refuses_other_models(tmp_path, inputs, output):
    hook = PredictionPictureHook(out_dir=str(tmp_path))
    with pytest.raises(ValueError, match="need a recogniser of videos"):
        hook.after_test_iter(runner(), 0, dict(inputs=inputs), [output])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs out_dir, show=True or both"),
        (dict(out_dir="x", interval=0), "interval must be at least 1, got 0"),
        (dict(show=True, wait_time=0), "wait_time must be positive, got 0"),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(ValueError, match=message):
        PredictionPictureHook(**options)


def test_shows_windows(tmp_path):
    """With a library for windows that notes what it is asked for, as there is no display here."""
    (tmp_path / "windows.py").write_text(
        "from matplotlib.backend_bases import FigureManagerBase\n"
        "from matplotlib.backends.backend_agg import FigureCanvasAgg\n"
        "class Manager(FigureManagerBase):\n"
        "    def show(self): print('shown', len(self.canvas.figure.axes))\n"
        "class FigureCanvas(FigureCanvasAgg):\n"
        "    required_interactive_framework = 'headless'\n"
        "    manager_class = Manager\n"
        "    def start_event_loop(self, timeout=0): print('waits', timeout)\n"
    )
    code = """
import sys
sys.path += sys.argv[1:]
import torch
from helpers.predictions import runner, sample
from cmac_mm.engine.hooks import PredictionPictureHook
hook = PredictionPictureHook(show=True, wait_time=0.5)
hook.before_test(runner())
imgs = torch.zeros(1, 3, 8, 20, 30, dtype=torch.uint8)
hook.after_test_iter(runner(), 0, dict(inputs=dict(imgs=imgs)), [sample(0)])
"""
    _, output = run_code(
        code, f"{ROOT}/tests", tmp_path, modules=("torch",), MPLBACKEND="module://windows"
    )
    assert output.splitlines()[-2:] == ["shown 6", "waits 0.5"]
