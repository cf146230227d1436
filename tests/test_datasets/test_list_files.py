"""Lists as people and their file systems make them: odd names, byte order marks, wrong labels."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from helpers.media_tools import write_video
from helpers.tools_in_process import run_tool
from mmaction.registry import DATASETS
from mmengine.registry import DefaultScope

from cmac_mm.datasets.bad_files import BadFileLog
from cmac_mm.preparation import prepare_videos, scan_videos
from cmac_mm.preparation.annotations import read_hmdb51, read_kinetics400, read_ucf101, scan_media
from cmac_mm.preparation.listing import read_entries
from cmac_mm.utils import read_classes, read_lines

# Characters at which str.splitlines splits, or which str.strip cuts off, and which names may hold.
ODD = ["\u2028", "\u2029", "\x85", "\f", "\v", "\x1c", "\x1d", "\x1e", "\x1f", "\xa0", "\u3000"]
ODD_NAMES = [f"a{char}b.mp4" for char in ODD] + [f"{char}c.mp4" for char in ODD]
MARK = "\ufeff"


@pytest.fixture(autouse=True)
def _mmaction_scope():
    with DefaultScope.overwrite_default_scope("mmaction"):
        yield


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "good.mp4"
    write_video(path, seconds=1, flashes=(3, 13))
    return path.read_bytes()


def build(kind: str, ann_file: Path | list[Path], **options: object) -> object:
    files = [str(f) for f in ann_file] if isinstance(ann_file, list) else str(ann_file)
    return DATASETS.build(dict(type=kind, ann_file=files, pipeline=[], **options))


@pytest.mark.parametrize("kind", ["AudioVisualDataset", "AudioClipDataset"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("label", ["", " 3", "\t3"])
def test_names_that_only_look_like_several_lines(tmp_path, kind, end, label):
    path = tmp_path / "list.txt"
    path.write_bytes((MARK + "".join(f"{name}{label}{end}" for name in ODD_NAMES)).encode())
    dataset = build(kind, path)
    names = [dataset.get_data_info(row)["filename"] for row in range(len(dataset))]
    assert names == ODD_NAMES


def test_odd_names_from_a_folder_through_checking_and_preparing(tmp_path, good):
    """Every list that one tool writes, the next one reads."""
    names = [f"a{char}b.mp4" for char in ("\u2028", "\x85", "\f", "\v")]
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in names:
        (videos / name).write_bytes(good)
    (videos / "bad\u2028.mp4").write_bytes(b"no video")
    assert sorted(entry.name for entry in read_entries(videos)) == sorted([*names, "bad\u2028.mp4"])
    scan_videos(videos, tmp_path / "good.txt", workers=1)
    entries = read_entries(tmp_path / "good.txt", videos)
    assert sorted(entry.name for entry in entries) == sorted(names)
    assert all(entry.path.is_file() for entry in entries)
    with (tmp_path / "good.csv").open(encoding="utf-8", newline="") as file:
        assert sorted(row["file"] for row in csv.DictReader(file)) == sorted(
            [*names, "bad\u2028.mp4"]
        )
    again = scan_videos(tmp_path / "good.txt", tmp_path / "again.txt", prefix=videos, workers=1)
    assert again.verdicts == {"ok": 4}
    assert (tmp_path / "again.txt").read_bytes() == (tmp_path / "good.txt").read_bytes()
    prepare_videos(tmp_path / "again.txt", tmp_path / "out", prefix=videos, workers=1)
    prepared = build("AudioVisualDataset", tmp_path / "out/again.txt")
    assert sorted(prepared.get_data_info(i)["filename"] for i in range(4)) == sorted(names)


def test_lists_with_a_byte_order_mark_can_be_checked(tmp_path, good):
    (tmp_path / "a b.mp4").write_bytes(good)
    (tmp_path / "list.txt").write_bytes(f"{MARK}a b.mp4 1\r\na b.mp4 2\r\n".encode())
    scan_videos(tmp_path / "list.txt", tmp_path / "good.txt", prefix=tmp_path, workers=1)
    assert (tmp_path / "good.txt").read_bytes() == b"a b.mp4 1\na b.mp4 2\n"


def test_list_of_bad_files_keeps_odd_names(tmp_path):
    names = [*ODD_NAMES, "tab\tin it.mp4", "tab at its end\t"]
    for _ in range(2):  # the second log learns from the file what is known
        log = BadFileLog()
        log.path = tmp_path / "bad.txt"
        new = [log.add(name, "it is\tbroken\u2028here") for name in names]
    assert not any(new)
    lines = (tmp_path / "bad.txt").read_bytes().decode().split("\n")
    assert lines == [*(f"{name}\tit is broken here" for name in names), ""]


@pytest.mark.parametrize("address", ["http://host/a b.mp4", "s3://bucket/a.mp4", "c1:s3://b/a.mp4"])
def test_no_folder_before_an_address(tmp_path, address):
    path = tmp_path / "list.txt"
    path.write_text(f"{address} 0\nlocal.mp4 1\n/whole/path.mp4 2\n")
    for prefix in ("data/videos", "https://other/videos/"):
        dataset = build("AudioVisualDataset", path, data_prefix=dict(video=prefix))
        names = [dataset.get_data_info(row)["filename"] for row in range(3)]
        assert names == [address, f"{prefix.rstrip('/')}/local.mp4", "/whole/path.mp4"]
    dataset = build("AudioClipDataset", path, data_prefix=dict(audio="data"))
    assert dataset.get_data_info(0)["filename"] == address


def test_addresses_cannot_be_checked_or_prepared(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a.mp4 0\n\ns3://bucket/b.mp4 1\n")
    with pytest.raises(ValueError, match=r"list\.txt, line 3: s3://bucket/b\.mp4 is an address"):
        scan_videos(path, tmp_path / "good.txt")


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        ("AudioVisualDataset", dict(num_classes=3)),
        ("AudioVisualDataset", dict(metainfo=dict(classes=["a", "b", "c"]))),
        ("AudioClipDataset", dict(num_classes=3)),
    ],
)
def test_labels_are_checked_when_the_list_is_read(tmp_path, kind, option):
    path = tmp_path / "list.txt"
    path.write_text("a.mp4 0\n\nb.mp4 2\n")
    assert len(build(kind, path, **option)) == 2
    path.write_text("a.mp4 0\n\nb.mp4 3\n")
    with pytest.raises(ValueError, match=r"list\.txt, line 3: label 3, expected 0 to 2 \(3 class"):
        build(kind, path, **option)
    path.write_text("a.mp4 0\n\nb.mp4\n")
    with pytest.raises(ValueError, match=r"list\.txt, line 3: no label, expected 0 to 2 \(3 class"):
        build(kind, path, **option)


def test_labels_are_checked_on_demand(tmp_path):
    """For those that learn the number of classes later, such as from the model."""
    first, second = tmp_path / "fold1.txt", tmp_path / "fold2.txt"
    first.write_text("a.wav 0\nb.wav 9\n")
    second.write_text("c.wav 1\nd.wav 10\n")
    dataset = build("AudioClipDataset", [first, second])
    dataset.check_labels()
    dataset.check_labels(11)
    with pytest.raises(ValueError, match=r"fold2\.txt, line 2: label 10, expected 0 to 9"):
        dataset.check_labels(10)
    second.write_text("c.wav 1\nd.wav\n")
    dataset = build("AudioClipDataset", [first, second])
    with pytest.raises(ValueError, match=r"fold2\.txt, line 2: no label, expected 'path label'"):
        dataset.check_labels()


def test_class_files(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes(f"{MARK}apply eye makeup\r\n  räk\u2028smörgås \r\n\r\n".encode())
    assert read_classes(path) == ["apply eye makeup", "räk\u2028smörgås"]
    for content, line in ((b"", 1), (b"\n\n", 1), (b"cat\n\ndog\n", 2)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"classes\.txt, line {line}: expected the name of"):
            read_classes(path)
    path.write_bytes("cat\nmås\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"classes\.txt, line 2: expected text in UTF-8.* 0xe5"):
        read_classes(path)
    with pytest.raises(ValueError, match=r"gone\.txt: there is no such file"):
        read_classes(tmp_path / "gone.txt")


def test_official_files_with_a_byte_order_mark(tmp_path):
    """As editors on Windows save them."""

    def write(name: str, text: str) -> None:
        (tmp_path / name).write_bytes((MARK + text.replace("\n", "\r\n")).encode())

    write("classInd.txt", "1 A\n2 B\n")
    write("trainlist01.txt", "A/v_A_g01_c01.avi 1\nB/v_B_g01_c01.avi 2\n")
    write("testlist01.txt", "A/v_A_g02_c01.avi\n")
    found = read_ucf101(tmp_path)
    assert [(c.name, c.label) for c in found.lists[0].clips] == [
        ("A/v_A_g01_c01.avi", 0),
        ("B/v_B_g01_c01.avi", 1),
    ]
    write("a_test_split1.txt", "x.avi 1\ny.avi 2\n")
    assert read_hmdb51(tmp_path).lists[0].clips[0].name == "a/x.avi"
    write("train.csv", "label,youtube_id,time_start,time_end,split\nb,abcdefghijk,0,10,train\n")
    write("map.txt", "a\nb\n")
    assert (
        read_kinetics400(tmp_path / "train.csv", tmp_path / "map.txt").lists[0].clips[0].label == 1
    )


def test_lists_from_tools_on_odd_names(tmp_path):
    """make_lists.py finds a file whose class folder's name holds a line separator."""
    (tmp_path / "videos/A").mkdir(parents=True)
    name = "v_A\u2028_g01_c01"
    (tmp_path / f"videos/A/{name}.avi").write_bytes(b"")
    split = tmp_path / "split"
    split.mkdir()
    (split / "classInd.txt").write_text("1 A\n")
    (split / "trainlist01.txt").write_text(f"A/{name}.avi 1\n", encoding="utf-8")
    run_tool("data/make_lists.py", "ucf101", tmp_path / "videos", split, "--out", tmp_path / "out")
    lines = read_lines(tmp_path / "out/ucf101_train_split1.txt")
    assert lines == [f"A/{name}.avi 0"]


@pytest.fixture
def folders(tmp_path):
    """Class folders, partly links, and links that lead back."""
    (tmp_path / "store/b").mkdir(parents=True)
    (tmp_path / "videos/a").mkdir(parents=True)
    (tmp_path / "videos/folder.mp4").mkdir()
    for name in ("store/b/2.mp4", "videos/a/1.mp4", "videos/.hidden.mp4"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "videos/b").symlink_to(tmp_path / "store/b")
    (tmp_path / "videos/again").symlink_to(tmp_path / "store/b")
    for place in ("videos/a", "store/b"):  # two: each way round would be another file
        (tmp_path / place / "self").symlink_to(tmp_path / "videos")
    return tmp_path / "videos"


def test_links_to_folders_are_followed_but_not_in_circles(folders):
    expected = ["a/1.mp4", "again/2.mp4", "b/2.mp4"]
    found = scan_media(folders)
    assert [name for name in found if "self" not in name] == expected
    assert len(found) < 20
    assert [entry.name for entry in read_entries(folders)] == found


def test_names_that_cannot_stand_in_a_list(tmp_path):
    for name in (b"m\xe5s.mp4", b"two\nlines.mp4"):
        folder = tmp_path / str(len(name))
        folder.mkdir()
        (folder / os.fsdecode(name)).write_bytes(b"")
        with pytest.raises(ValueError, match="cannot stand in a list: rename the file"):
            read_entries(folder)
    folder = tmp_path / "tab"
    folder.mkdir()
    (folder / "a\tb.mp4").write_bytes(b"")
    assert read_entries(folder)[0].line == "a\tb.mp4 0"


def test_something_else_in_place_of_a_list(tmp_path, good):
    (tmp_path / "video.mp4").write_bytes(good)
    with pytest.raises(ValueError, match=r"video\.mp4 is a media file: expected a list of files"):
        read_entries(tmp_path / "video.mp4")
    with pytest.raises(ValueError, match=rf"{tmp_path} is a folder: expected a list, a text file"):
        build("AudioVisualDataset", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"gone\.txt: there is no such list \(ann_file\)$"):
        build("AudioVisualDataset", tmp_path / "gone.txt")
    with pytest.raises(FileNotFoundError, match=r"~/gone\.txt: there .*, and ~ is not expanded"):
        build("AudioVisualDataset", Path("~/gone.txt"))


def test_a_wrong_prefix_is_told(tmp_path, monkeypatch):
    (tmp_path / "list.txt").write_text("a.mp4 0\nb.mp4 1\n")
    out = tmp_path / "good.txt"
    with pytest.raises(
        SystemExit, match=r"none of the files is there, such as wrong/a\.mp4: is --pr"
    ):
        run_tool("data/check_videos.py", tmp_path / "list.txt", out, "--prefix", "wrong")
