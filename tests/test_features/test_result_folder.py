"""Which videos' files are complete."""

import json

import pytest

from cmac_mm.features import ResultFolder


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "videos/a.mp4"
    path.parent.mkdir()
    path.write_bytes(b"1")
    return str(path)


def finish(folder, source, *asked):
    files = [folder.path(source).with_suffix(f".{kind}") for kind in asked]
    for path in files:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    folder.add(source, asked, files)


def test_a_video_is_complete_until_something_changes(video, tmp_path):
    out = tmp_path / "out"
    folder = ResultFolder(out, "model 1")
    assert not folder.has(video, ["npz"])
    finish(folder, video, "npz", "png")
    for known in (folder, ResultFolder(out, "model 1")):
        assert known.has(video, ["npz"]) and known.has(video, ["png", "npz"])
        assert not known.has(video, ["npz", "mp4"])
    assert not ResultFolder(out, "model 2").has(video, ["npz"])
    (out / "a.png").unlink()
    assert not folder.has(video, ["npz"])
    finish(folder, video, "npz")
    assert ResultFolder(out, "model 1").has(video, ["npz"])
    (tmp_path / "videos/a.mp4").write_bytes(b"12")
    assert not ResultFolder(out, "model 1").has(video, ["npz"])


def test_names_stay_and_are_not_shared(video, tmp_path):
    other = "https://example.org/more/a.webm"
    folder = ResultFolder(tmp_path / "out", "")
    finish(folder, video, "npz")
    assert folder.path(other).name == "a_2" and folder.path("b/a.mkv").name == "a_3"
    finish(folder, other, "npz")
    again = ResultFolder(tmp_path / "out", "other settings")
    assert again.path("c/a.mp4").name == "a_3"
    assert again.path(other).name == "a_2" and again.path(video).name == "a"
    odd = f"{video}/b\udcff.mp4"  # a name that is no UTF-8
    finish(again, odd, "npz")
    assert ResultFolder(tmp_path / "out", "").path(odd).name == "b\udcff"


def test_a_line_that_was_cut_off_is_dropped(video, tmp_path):
    folder = ResultFolder(tmp_path / "out", "")
    finish(folder, video, "npz")
    record = tmp_path / "out/done.jsonl"
    whole = record.read_bytes()
    record.write_bytes(whole + whole[:-5])
    folder = ResultFolder(tmp_path / "out", "")
    assert folder.has(video, ["npz"])
    finish(folder, video + "x", "npz")
    assert len([json.loads(line) for line in record.read_text().splitlines()]) == 2
    record.write_text("{}\n")
    with pytest.raises(ValueError, match=r"done\.jsonl, line 1: expected what was made of a video"):
        ResultFolder(tmp_path / "out", "")
