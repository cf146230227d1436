"""The tool that makes lists, as it is called from a shell."""

import runpy
import sys

import pytest
from helpers.paths import ROOT

TOOL = ROOT / "tools/data/make_lists.py"


@pytest.fixture
def run(monkeypatch, capsys):
    """Call the tool in this process; a new one takes seconds to import torch."""

    def call(*args):
        monkeypatch.setattr(sys, "argv", [str(TOOL), *map(str, args)])
        monkeypatch.setenv("COLUMNS", "120")
        try:
            runpy.run_path(str(TOOL), run_name="__main__")
        except SystemExit as end:
            return end.code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    return call


def test_ucf101_mini(run, media_dir, tmp_path):
    folder = media_dir / "ucf101_mini"
    out = tmp_path / "lists"
    code, output = run("ucf101", folder / "UCF-101", folder / "ucfTrainTestlist", "--out", out)
    assert code == 0, output
    assert "60 media files on disk, 0 of them in no list" in output
    # Warned of, not fatal: this is a part of UCF101.
    assert "ucf101_train_split1.txt: 40 entries, published are 9537" in output
    assert sorted(path.name for path in out.iterdir()) == [
        "classes.txt",
        "ucf101_test_split1.txt",
        "ucf101_train_split1.txt",
    ]
    message, _ = run("ucf101", folder / "ucfTrainTestlist", folder / "ucfTrainTestlist")
    assert message.startswith("ucf101: ") and "no media file in it" in message


def test_audioset_options(run, tmp_path):
    (tmp_path / "balanced_train_segments.csv").write_text(
        '# num_segs=3\naaaaaaaaaaa, 0.000, 10.000, "/m/1"\nbbbbbbbbbbb, 0.000, 10.000, "/m/1"\n'
        'ccccccccccc, 0.000, 10.000, "/m/1"\n'
    )
    for name in ("aaaaaaaaaaa", "bbbbbbbbbbb", "ddddddddddd"):
        (tmp_path / f"{name}.mp4").touch()
    out = tmp_path / "lists"
    options = ("--subsets", 1, 5, "--seed", 3, "--out", out)
    code, output = run("audioset", tmp_path, tmp_path, *options)
    assert code == 0, output
    assert len((out / "audioset_train_1.txt").read_text().split()) == 1
    assert len((out / "audioset_train_5.txt").read_text().split()) == 2
    assert (
        out / "audioset_balanced_train_missing.txt"
    ).read_text() == "ccccccccccc_000000_000010\n"
    assert "audioset_train_5.txt: 2 of 5 wanted" in output
    assert "3 media files on disk, 1 of them in no list" in output


def test_a_published_subset_needs_no_segments(run, tmp_path):
    (tmp_path / "ids.txt").write_text("aaaaaaaaaaa_0_10000.mp4\nbbbbbbbbbbb_0_10000.mp4\n")
    (tmp_path / "Yaaaaaaaaaaa_0_10.mp4").touch()
    out = tmp_path / "out"
    code, output = run("audioset", tmp_path, "--ids", tmp_path / "ids.txt", "--out", out)
    assert code == 0, output
    assert (out / "ids.txt").read_text() == "Yaaaaaaaaaaa_0_10.mp4\n"
    assert (out / "ids_missing.txt").read_text() == "bbbbbbbbbbb_000000_000010\n"


def test_dcase_needs_no_table(run, tmp_path):
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "tube07.wav").touch()
    code, output = run("dcase2014", tmp_path, "--out", tmp_path / "out")
    assert code == 0, output
    assert (tmp_path / "out/dcase2014_test.txt").read_text() == "val/tube07.wav 8\n"


def test_kinetics_lists_refer_to_their_own_folders(run, tmp_path):
    header = "label,youtube_id,time_start,time_end,split"
    (tmp_path / "train.csv").write_text(f"{header}\nzumba,aaaaaaaaaaa,0,10,train\n")
    (tmp_path / "val.csv").write_text(f"{header}\nzumba,bbbbbbbbbbb,0,10,val\n")
    for path in ("train/zumba/aaaaaaaaaaa.mp4", "videos_val/bbbbbbbbbbb.mp4"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    code, output = run("kinetics400", tmp_path, tmp_path, "--out", tmp_path / "out")
    assert code == 0, output
    assert (tmp_path / "out/kinetics400_train.txt").read_text() == "zumba/aaaaaaaaaaa.mp4 0\n"
    assert (tmp_path / "out/kinetics400_val.txt").read_text() == "bbbbbbbbbbb.mp4 0\n"
