"""The checker says of each file what loading it will say, and survives everything."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.media_tools import RATE, write_video
from helpers.nasty_files import EXPECTED, OK
from helpers.paths import ROOT

from cmac_mm.datasets import AudioVisualDataset, MediaFile
from cmac_mm.datasets.av_reader import read_sound
from cmac_mm.preparation import Criteria, check_file, find_equal_files, scan_videos
from cmac_mm.preparation.listing import read_entries

TOOL = ROOT / "tools/data/check_videos.py"
# Silent in the middle, but not at its start and end.
PARTLY_SILENT = "moviepy__video_with_failing_audio.mp4"
# Whole but for its last picture, which the last clip holds.
DAMAGED_END = "derived__bbaf2n_truncated.mpg"


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("full", [False, True], ids=["fast", "full"])
@pytest.mark.parametrize("name", EXPECTED)
def test_verdict_is_that_of_loading(media_dir, name, full):
    path = media_dir / "nasty" / name
    for need, expected in zip(("both", "picture", "sound"), EXPECTED[name], strict=True):
        report = check_file(path, name, Criteria(need=need, full=full))
        if name == DAMAGED_END and need != "sound":
            expected = "the picture at .* is damaged"
        if name == PARTLY_SILENT:
            expected = OK
        assert report.verdict == ("ok" if expected == OK else "bad"), report
        assert report.reason == "" if expected == OK else re.search(expected, report.reason)
        assert report.bytes == path.stat().st_size


def test_the_partly_silent_file_is_one(media_dir):
    media = MediaFile(str(media_dir / "nasty" / PARTLY_SILENT))
    middle = media.duration / 2 - 0.5
    peaks = np.abs(read_sound(media, [0.0, middle, media.duration - 1], 1.0, 24000)).max(axis=1)
    media.close()
    assert peaks[1] < 1e-4 < peaks.max()


def test_facts_of_a_real_clip(media_dir):
    report = check_file(media_dir / "torchvision_videos/SOX5yA1l24A.mp4", "x", Criteria(full=True))
    assert (report.width, report.height, report.video_codec) == (340, 256, "h264")
    assert report.fps == pytest.approx(30000 / 1001)
    assert report.duration == pytest.approx(11.078, abs=0.01)
    assert (report.sound, report.audio_codec) == ("ok", "aac")
    assert (report.sample_rate, report.channels) == (48000, 1)
    rotated = check_file(media_dir / "nasty/decord__video_90.mov", "x", Criteria())
    assert (rotated.width, rotated.height) == (320, 568)


def tone(seconds: float, amplitude: float, start: float = 0.0) -> np.ndarray:
    sound = amplitude * np.sin(2 * np.pi * 1000 * np.arange(round(seconds * RATE)) / RATE)
    sound[: round(start * RATE)] = 0
    return sound[None].astype(np.float32)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("amplitude", [0.5, 0.001])
def test_levels(tmp_path, full, amplitude):
    path = tmp_path / "tone.mkv"
    write_video(path, seconds=4, sound=tone(4, amplitude))
    report = check_file(path, path.name, Criteria(silence_db=-50, full=full))
    level = 20 * np.log10(amplitude)
    assert report.peak_db == pytest.approx(level, abs=0.2)
    assert report.rms_db == pytest.approx(level - 3.01, abs=0.2)
    assert report.sound == ("ok" if level > -50 else "silent")
    assert report.verdict == ("ok" if level > -50 else "bad")


def test_silent_where_looked_but_not_everywhere(tmp_path):
    """A fast look takes no file for silent that is loud elsewhere."""
    path = tmp_path / "late.mkv"
    sound = tone(60, 0.5)
    sound[:, : 45 * RATE] = 0
    sound[:, 46 * RATE :] = 0
    write_video(path, fps=5, seconds=60, sound=sound)
    report = check_file(path, path.name, Criteria())
    assert (report.verdict, report.sound) == ("ok", "ok")
    assert report.rms_db == pytest.approx(-6.0 - 3.0 - 17.8, abs=0.3)  # 1 of 60 seconds


def test_minimum_duration(tmp_path):
    write_video(tmp_path / "short.mp4", seconds=1, flashes=(10,))
    assert check_file(tmp_path / "short.mp4", "x", Criteria(min_duration=0.9)).verdict == "ok"
    report = check_file(tmp_path / "short.mp4", "x", Criteria(min_duration=1.5))
    assert (report.verdict, report.reason[:9]) == ("bad", "lasts 1.0")


@pytest.mark.parametrize("wrong", [dict(need="x"), dict(min_duration=-1), dict(silence_db=3)])
def test_wrong_criteria(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Criteria(**wrong)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, media_dir) -> Path:
    """Good, bad, missing and equal files, and a list with labels."""
    folder = tmp_path_factory.mktemp("set")
    kinetics = media_dir / "kinetics/bungee_jumping/zkXOcxGnUhs_000025_000035.mp4"
    for name in ("a é/one.mp4", "two.mp4"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(kinetics, folder / name)
    shutil.copy(media_dir / "nasty/decord__corrupted.mp4", folder / "corrupt.mp4")
    shutil.copy(media_dir / "nasty/ucf101__v_BasketballDunk_g07_c02.avi", folder / "three.avi")
    (folder / "list.txt").write_text(
        "three.avi 7\n\na é/one.mp4 3\ncorrupt.mp4 1\nmissing.mp4 2\ntwo.mp4   0\n",
        encoding="utf-8",
    )
    (folder / "train.txt").write_text("three.avi 7\na é/one.mp4 3\n", encoding="utf-8")
    return folder


def test_list_in_list_out(folder, tmp_path):
    out = tmp_path / "new/good.txt"
    options = dict(prefix=folder, duplicates=True, against=folder / "train.txt", workers=2)
    summary = scan_videos(folder / "list.txt", out, **options)
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines == ["three.avi 7", "a é/one.mp4 3", "two.mp4   0"]
    rows = table_of(tmp_path / "new/good.csv")
    assert [row["file"] for row in rows] == [
        "three.avi",
        "a é/one.mp4",
        "corrupt.mp4",
        "missing.mp4",
        "two.mp4",
    ]
    assert [row["verdict"] for row in rows] == ["ok", "ok", "bad", "bad", "ok"]
    assert rows[3]["reason"].startswith("cannot be opened (FileNotFoundError")
    assert [row["same_as"] for row in rows] == [
        "three.avi of the other list",
        "two.mp4; a é/one.mp4 of the other list",
        "",
        "",
        "a é/one.mp4; a é/one.mp4 of the other list",
    ]
    assert (summary.num_equal, summary.num_leaked) == (2, 3)
    assert sorted(path.name for path in out.parent.iterdir()) == ["good.csv", "good.txt"]
    data = AudioVisualDataset(str(out), pipeline=[], data_prefix=dict(video=str(folder)))
    assert [data.get_data_info(i)["label"] for i in range(len(data))] == [7, 3, 0]
    with pytest.raises(FileExistsError, match="--overwrite"):
        scan_videos(folder / "list.txt", out, **options)
    with pytest.raises(ValueError, match="a name of its own"):
        scan_videos(folder / "list.txt", folder / "list.txt", overwrite=True)


def test_folder_whose_names_hold_spaces_gives_a_list_that_can_be_read(folder, tmp_path):
    out = tmp_path / "good.txt"
    scan_videos(folder, out, workers=1)
    data = AudioVisualDataset(str(out), pipeline=[], data_prefix=dict(video=str(folder)))
    names = [Path(data.get_data_info(i)["filename"]).name for i in range(len(data))]
    assert names == ["one.mp4", "three.avi", "two.mp4"]


def test_interrupted_scan_goes_on(folder, tmp_path):
    """What a killed scan has left is used, a half line dropped; other settings are refused."""
    out = tmp_path / "good.txt"
    partial = tmp_path / "good.csv.part"
    settings = dict(
        source=str(folder / "list.txt"),
        prefix=str(folder),
        need="both",
        min_duration=0.0,
        silence_db=-80.0,
        full=False,
    )
    known = dict(file="two.mp4", verdict="bad", reason="by hand")
    partial.write_text(f'{json.dumps(settings)}\n{json.dumps(known)}\n{{"file": "three.a')
    with pytest.raises(ValueError, match=r"other settings \(min_duration 0.0\).*--overwrite"):
        scan_videos(folder / "list.txt", out, prefix=folder, criteria=Criteria(min_duration=2))
    summary = scan_videos(folder / "list.txt", out, prefix=folder, workers=1)
    assert summary.num_resumed == 1
    assert [report.reason for report in summary.reports if report.file == "two.mp4"] == ["by hand"]
    assert out.read_text(encoding="utf-8") == "three.avi 7\na é/one.mp4 3\n"
    assert not partial.exists()
    partial.write_text("something else\n")
    out.unlink()
    out.with_suffix(".csv").unlink()
    with pytest.raises(ValueError, match="no results of an interrupted scan"):
        scan_videos(folder / "list.txt", out, prefix=folder)
    summary = scan_videos(folder / "list.txt", out, prefix=folder, workers=1, overwrite=True)
    assert (summary.num_resumed, summary.verdicts["ok"]) == (0, 3)


def test_files_that_hang_are_noted(folder, tmp_path):
    """A named pipe that nobody writes to stops whoever opens it, as a broken network mount does."""
    os.mkfifo(tmp_path / "pipe.mp4")
    shutil.copy(folder / "two.mp4", tmp_path / "good.mp4")
    summary = scan_videos(tmp_path, tmp_path / "out/good.txt", workers=1, timeout=3)
    rows = {report.file: (report.verdict, report.reason) for report in summary.reports}
    assert rows == {"good.mp4": ("ok", ""), "pipe.mp4": ("timed out", "not done after 3 s")}


def test_equal_files(tmp_path):
    contents = dict(a=b"12345", b=b"12346", c=b"12345", d=b"123456", e=b"", f=b"", g=b"12346")
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in [*"gfedcba", "missing", "a"]]
    groups = find_equal_files(paths, workers=2)
    found = [[path.name for path in group] for group in groups]
    assert sorted(found) == [["c", "a"], ["g", "b"]]


def test_sources_that_cannot_be_used(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such list or folder"):
        read_entries(tmp_path / "x.txt")
    with pytest.raises(ValueError, match="no media file in it or its sub-folders"):
        read_entries(tmp_path)
    with pytest.raises(ValueError, match=r"a prefix .* is for lists only"):
        read_entries(tmp_path, tmp_path)
    (tmp_path / "list.txt").write_text("a.mp4 1\nb c.mp4\n")
    with pytest.raises(ValueError, match="line 2"):
        read_entries(tmp_path / "list.txt")


@pytest.mark.slow
def test_the_tool_killed_and_called_again(media_dir, tmp_path):
    """As a user would: kill -9 in the middle, the same command again."""
    names = sorted(media_dir.glob("ucf101_mini/UCF-101/*/*.avi"))[:12]
    (tmp_path / "list.txt").write_text("".join(f"{name} 0\n" for name in names))
    command = [sys.executable, "-W", "ignore", str(TOOL), str(tmp_path / "list.txt")]
    command += [str(tmp_path / "good.txt"), "--need", "picture", "--workers", "1", "--full"]
    options = dict(cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)
    partial = tmp_path / "good.csv.part"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if partial.exists() and len(partial.read_text().splitlines()) >= 3:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.01)
    assert process.wait() == -signal.SIGKILL
    before = partial.read_text().splitlines()[1:]
    assert before
    done = subprocess.run(command, capture_output=True, check=True, timeout=120, **options)
    assert re.search(rf"12 files in .*, {len(before)} of them by the interrupted scan", done.stdout)
    assert len((tmp_path / "good.txt").read_text().splitlines()) == 12
