"""Help and usage errors of all tools come at once, and say what holds in the package."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from helpers.paths import TOOLS
from helpers.processes import run_tool
from helpers.tools_in_process import load_tool

from cmac_mm.apis import FORMATS
from cmac_mm.preparation import Criteria, EncodeSettings

# launch.py is torchrun itself, with torchrun's command line.
NAMES = sorted(
    str(path.relative_to(TOOLS)) for path in TOOLS.rglob("*.py") if path.name != "launch.py"
)
# Refuses what takes long to import, then runs the tool as python does.
START = """
import runpy, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "mmaction", "cmac_mm"):
            raise AssertionError(f"{name} is imported before the command line is read")

sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("flag", "code"), [("--help", 0), ("--no-such-flag", 2)])
def test_help_and_usage_errors_come_without_torch(name, flag, code, tmp_path):
    command = [sys.executable, "-c", START, str(TOOLS / name), flag]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == code, result.stderr
    text = result.stderr if code else result.stdout
    assert text.startswith(f"usage: {Path(name).name} ")


# Arguments of what is not there.
GONE = {
    "analysis/cluster_page.py": ["gone.py", "gone.npz"],
    "app.py": ["--index", "gone"],
    "analysis/mining_diagnostics.py": ["gone.pth", "--ann-file", "gone.txt"],
    "converters/convert_checkpoint.py": ["gone.pth", "out.pth"],
    "converters/import_statistics.py": ["gone.npz", "out.json"],
    "converters/package_model.py": ["gone.py", "gone.pth", "out.pth", "--data", "none"],
    "data/browse_dataset.py": ["gone.py"],
    "data/check_videos.py": ["gone.txt", "out.txt"],
    "data/make_lists.py": ["ucf101", "gone", "gone"],
    "data/make_sounding_shapes.py": ["file/gone"],
    "data/prepare_videos.py": ["gone.txt", "out"],
    "data/spectrogram_statistics.py": ["gone.py"],
    "evaluate.py": ["gone.py", "none"],
    "export.py": ["gone.py", "gone.pth", "--out", "out"],
    "extract_clip_features.py": ["gone.py", "gone.pth", "gone", "--out", "out"],
    "infer.py": ["gone.mp4"],
    "list_models.py": [],  # which needs nothing
    "report.py": ["gone"],
    "reproduce.py": ["gone"],
    "search.py": ["query", "gone.mp4", "--index", "gone"],
    "test.py": ["gone.py", "gone.pth"],
    "train.py": ["gone.py"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_tool_imports_what_it_needs(name, tmp_path):
    """Started afresh, which other tests of the tools save: it gets as far as what is not there."""
    (tmp_path / "file").touch()
    code, output = run_tool(name, *GONE[name], cwd=tmp_path, fresh=True)
    assert (code == 1 and "gone" in output) if GONE[name] else code == 0, output


def options(monkeypatch, name, *args):
    """What a tool reads from a command line."""
    monkeypatch.setattr(sys, "argv", [name, *args])
    return vars(load_tool(name).parse_args())


@pytest.mark.parametrize(
    ("name", "settings"),
    [("data/check_videos.py", Criteria()), ("data/prepare_videos.py", EncodeSettings())],
)
def test_defaults_are_those_of_the_package(monkeypatch, name, settings):
    read = options(monkeypatch, name, "source", "out")
    for field in fields(settings):
        expected = getattr(settings, field.name)
        assert read[field.name] == expected
        assert type(read[field.name]) is type(expected)


def test_choices_are_those_of_the_package(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        options(monkeypatch, "converters/convert_checkpoint.py", "--help")
    assert f"{{auto,{','.join(FORMATS)}}}" in capsys.readouterr().out
