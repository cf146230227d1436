"""What training and testing show on the screen, and what is in the log file only."""

import io
import os
import pty
import re
import subprocess
import sys

import pytest
from helpers.paths import ROOT, TINY
from helpers.processes import run_tool
from mmengine.runner import FlexibleRunner, Runner
from rich.console import Console

from cmac_mm.engine.console import ProgressHook, short_console


def test_training_and_testing_in_a_file(tmp_path):
    code, output = run_tool("train.py", TINY / "tiny_config.py", "--work-dir", "w", cwd=tmp_path)
    assert code == 0, output
    log = next((tmp_path / "w").glob("*/*.log")).read_text()
    for text in (
        "System environment",
        "Config:",
        "Hooks will be executed",
        "Epoch(train) [1][4/4]",
    ):
        assert text in log
        assert text not in output
    lines = output.splitlines()
    assert len(lines) < 12
    assert max(map(len, lines)) < 200
    said = r"^training TinyModel: \d+ samples, 1 epochs of 4 steps; all messages are in .*/w/.*log$"
    assert re.search(said, output, re.MULTILINE)
    assert re.search(r"epoch 1/1, 100 %, loss \d+\.\d+, 0:00:00 left", output)
    assert "validation after epoch 1: tiny/accuracy: " in output

    code, output = run_tool("test.py", TINY / "tiny_config.py", "w/epoch_1.pth", cwd=tmp_path)
    assert code == 0, output
    assert "System environment" not in output
    assert "test: tiny/accuracy: " in output
    assert len(output.splitlines()) < 12

    args = [TINY / "tiny_config.py", "--work-dir", "v", "--verbose"]
    code, output = run_tool("train.py", *args, cwd=tmp_path)
    assert code == 0, output
    assert "System environment" in output
    assert "Epoch(train) [1][4/4]" in output


@pytest.mark.slow
def test_training_in_a_terminal(tmp_path):
    """A true one: the bar is drawn over itself, and the cursor is there again at the end."""
    ours, theirs = pty.openpty()
    command = [sys.executable, ROOT / "tools/train.py", TINY / "tiny_config.py", "--work-dir", "w"]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{TINY}", "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, cwd=tmp_path, env=env)
    os.close(theirs)
    output = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        output += part
    assert process.wait() == 0
    text = output.decode()
    assert "epoch 1/1" in text
    assert "100 %" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_other_runners_stay_as_they_are():
    assert short_console(FlexibleRunner) is FlexibleRunner
    assert short_console(Runner, verbose=True) is Runner
    assert issubclass(short_console(Runner), Runner)


def test_a_line_has_the_time_left(monkeypatch):
    """Of a resumed run: only its own steps tell how fast it is."""
    clock = iter([100.0, 140.0, 150.0, 180.0])
    monkeypatch.setattr("cmac_mm.engine.console.time.monotonic", lambda: next(clock))
    screen = io.StringIO()
    hook = ProgressHook(Console(file=screen))

    class Rank0:
        rank = 0

    hook._begin(Rank0, "training", total=100, done=20)
    for done in (40, 45, 60):  # after 40, 50 and 80 s; the second is too soon
        hook._advance(done, "epoch 1/2", "loss 1.000")
    lines = [line.partition(" ")[2] for line in screen.getvalue().splitlines()]
    assert lines == [
        "epoch 1/2, 40 %, loss 1.000, 0:02:00 left",
        "epoch 1/2, 60 %, loss 1.000, 0:01:20 left",
    ]
