"""The table of methods on the built-in set."""

import json
from functools import partial
from pathlib import Path

import pytest
from helpers.tools_in_process import run_tool

run = partial(run_tool, "analysis/compare_demos.py")


def write(folder: Path, seed: int, share: float, test: int = 512, rows=("visual", "audio")) -> Path:
    values = {"chance": 0.125, "untrained": share / 2, "trained": share}
    names = ("retrieval R@1", "retrieval R@5", "linear probe")
    table = {f"{modality} {name}": values for modality in rows for name in names}
    folder.mkdir()
    (folder / "evaluation.json").write_text(
        json.dumps({"seed": seed, "videos": {"gallery": 9, "test": test}, "table": table})
    )
    return folder


def test_means_and_spreads(tmp_path, capsys):
    a = [write(tmp_path / f"a{seed}", seed, share) for seed, share in enumerate((0.5, 0.7))]
    b = write(tmp_path / "b0", 0, 0.6, rows=("audio",))
    run(f"A={a[0]},{a[1]}", f"B={b}", "--out", str(tmp_path / "table.md"))
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0] == "| % | chance | untrained | A | B |"
    assert lines[2] == "| visual retrieval R@1 | 12.5 | 30.0 ± 7.1 | 60.0 ± 14.1 | - |"
    assert lines[7] == "| audio linear probe | 12.5 | 30.0 ± 7.1 | 60.0 ± 14.1 | 60.0 |"
    assert lines[-1] == "Seeds: A 2, B 1. Test videos: 512."
    assert (tmp_path / "table.md").read_text() == text


@pytest.mark.parametrize(
    ("seed", "test", "message"), [(0, 512, "a seed twice"), (1, 100, "different numbers")]
)
def test_what_cannot_be_compared(tmp_path, seed, test, message):
    a, b = write(tmp_path / "a", 0, 0.5), write(tmp_path / "b", seed, 0.5, test)
    with pytest.raises(ValueError, match=message):
        run(f"A={a},{b}")


def test_missing_results(tmp_path):
    for arg, message in ((f"A={tmp_path}", "does not exist"), ("A", "expected NAME=")):
        with pytest.raises(SystemExit, match=message):
            run(arg)
