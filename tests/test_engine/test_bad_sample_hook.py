"""Bad files in a real training run end up in its work directory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.brightness import train
from helpers.media_tools import write_video
from helpers.paths import ROOT
from helpers.processes import run_code
from mmaction.registry import HOOKS
from mmengine.registry import DefaultScope

import cmac_mm.engine.hooks.bad_sample_hook  # noqa: F401


@pytest.mark.parametrize(
    ("by_epoch", "workers", "time_limit"),
    [(True, 0, None), (True, 0, 60), (True, 2, None), (True, 2, 60), (False, 0, None)],
)
def test_training_leaves_a_list(tmp_path, by_epoch, workers, time_limit):
    for i in range(3):
        write_video(tmp_path / f"good{i}.mp4", seconds=1, flashes=(5, 15))
    (tmp_path / "bad.mp4").write_text("no")
    write_video(tmp_path / "silent.mp4", seconds=1)
    names = ["good0.mp4", "bad.mp4", "good1.mp4", "silent.mp4", "good2.mp4", "gone.mp4"]
    (tmp_path / "list.txt").write_text("\n".join(names))
    loop = (
        dict(type="EpochBasedTrainLoop", max_epochs=2)
        if by_epoch
        else dict(type="IterBasedTrainLoop", max_iters=8)
    )
    with DefaultScope.overwrite_default_scope("mmaction"):
        train(tmp_path, loop, workers, time_limit=time_limit)
    assert "BadSampleHook" in HOOKS.module_dict
    lines = (tmp_path / "work" / "bad_files.txt").read_text().splitlines()
    assert [Path(line.split("\t")[0]).name for line in lines] == [
        "bad.mp4",
        "gone.mp4",
        "silent.mp4",
    ]
    log = next((tmp_path / "work").glob("*/*.log")).read_text()
    # Only what is new: files, or at the end samples.
    told = re.findall(r"(\d) bad files so far.*; (\d+) samples were replaced", log)
    assert told[-1][0] == "3"
    assert len({number for number, _ in told[:-1]}) == len(told[:-1])


def test_names_that_only_look_like_several_lines(tmp_path):
    """Nothing of a name is lost on the way into the list, also with what an earlier run left."""
    names = ["a\u2028b.mp4", "a\x85b.mp4", "a\fb.mp4", "a\vb.mp4", "tab\tin it.mp4"]
    for i in range(3):
        write_video(tmp_path / f"good{i}.mp4", seconds=1, flashes=(5, 15))
    for name in names:
        (tmp_path / name).write_text("no")
    lines = [f"{name} 0\n" for name in [*names, "good0.mp4", "good1.mp4", "good2.mp4"]]
    (tmp_path / "list.txt").write_text("".join(lines), encoding="utf-8")
    expected = sorted(str(tmp_path / name) for name in names)
    for _ in range(2):
        with DefaultScope.overwrite_default_scope("mmaction"):
            train(tmp_path, dict(type="EpochBasedTrainLoop", max_epochs=4), 0)
        for path in ("bad_files.txt", "bad_files/rank0.txt"):
            lines = (tmp_path / "work" / path).read_bytes().decode().split("\n")
            assert lines.pop() == ""
            assert sorted(line.rpartition("\t")[0] for line in lines) == expected


TRAIN = """
import sys
from pathlib import Path
sys.path.append(sys.argv[1])
from helpers.brightness import train
train(Path(sys.argv[2]), dict(type="EpochBasedTrainLoop", max_epochs=1), 2, time_limit=60)
"""


def test_training_on_bad_files_alone_stops_with_an_error(tmp_path):
    """As a process, with two workers: its exit status tells."""
    (tmp_path / "bad.mp4").write_text("no")
    write_video(tmp_path / "silent.mp4", seconds=1)
    (tmp_path / "list.txt").write_text("bad.mp4\nsilent.mp4\ngone.mp4\n")
    status, output = run_code(TRAIN, ROOT / "tests", tmp_path)
    assert status == 1
    pattern = (
        r"RuntimeError: .*101 samples of \S*list\.txt in a row \(3 different files\) were refused; "
        r"the last one: .*check_videos\.py"
    )
    assert re.search(pattern, output, re.DOTALL), output[-3000:]
